#include "batch/csv.h"

namespace minnow::batch {

Result<std::optional<std::vector<std::string>>> ReadCsvRow(std::istream& in, size_t max_bytes) {
  std::vector<std::string> row(1);
  Status status;
  size_t bytes = 0;
  bool quoted = false, was_quoted = false;
  int c = in.get();
  if (c == std::istream::traits_type::eof()) return std::optional<std::vector<std::string>>();
  for (; c != std::istream::traits_type::eof(); c = in.get()) {
    if (++bytes > max_bytes && status.ok()) {
      status = Error(Code::kOutOfRange, "a row has more than {} bytes", max_bytes);
    }
    const char byte = static_cast<char>(c);
    if (quoted) {
      if (byte != '"') {
        if (status.ok()) row.back() += byte;
      } else if (in.peek() == '"') {
        in.get();
        row.back() += '"';
      } else {
        quoted = false;
      }
    } else if (byte == '"' && row.back().empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (byte == ',') {
      row.emplace_back();
      was_quoted = false;
    } else if (byte == '\n') {
      break;
    } else if (byte == '\r' && in.peek() == '\n') {
      continue;
    } else if (was_quoted || byte == '"') {
      if (status.ok()) status = Error(Code::kCorrupt, "a quote stands inside a field");
    } else if (status.ok()) {
      row.back() += byte;
    }
  }
  if (quoted && status.ok()) status = Error(Code::kCorrupt, "a quote is not closed");
  MNW_TRY(std::move(status));
  return std::optional(std::move(row));
}

}  // namespace minnow::batch
