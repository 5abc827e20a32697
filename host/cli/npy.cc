#include "cli/npy.h"

#include <cerrno>
#include <cstring>

namespace minnow::cli {

namespace {
// Magic, version and length take 10 bytes; the header is padded so that the data is 64-byte aligned
// and any number of rows fits.
constexpr size_t kHeader = 118;
}  // namespace

Result<NpyWriter> NpyWriter::Open(const std::string& path, size_t columns) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) return Error(Code::kInvalid, "cannot write '{}': {}", path, std::strerror(errno));
  NpyWriter writer(file, path, columns);
  MNW_TRY(writer.WriteHeader());
  return writer;
}

Status NpyWriter::WriteHeader() {
  std::string dict = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
                                 rows_, columns_);
  dict.resize(kHeader - 1, ' ');
  dict += '\n';
  const std::string prefix("\x93NUMPY\x01\x00", 8);
  const char length[2] = {static_cast<char>(kHeader & 0xff), static_cast<char>(kHeader >> 8)};
  std::rewind(file_.get());
  const bool ok = std::fwrite(prefix.data(), 1, prefix.size(), file_.get()) == prefix.size() &&
                  std::fwrite(length, 1, 2, file_.get()) == 2 &&
                  std::fwrite(dict.data(), 1, dict.size(), file_.get()) == dict.size();
  return ok ? Status()
            : Error(Code::kExhausted, "cannot write '{}': {}", path_, std::strerror(errno));
}

Status NpyWriter::Add(std::span<const float> row) {
  ++rows_;
  if (std::fwrite(row.data(), sizeof(float), row.size(), file_.get()) == row.size())
    return Status();
  return Error(Code::kExhausted, "cannot write '{}': {}", path_, std::strerror(errno));
}

Status NpyWriter::Close() {
  MNW_TRY(WriteHeader());
  if (std::fclose(file_.release()) != 0) {
    return Error(Code::kExhausted, "cannot write '{}': {}", path_, std::strerror(errno));
  }
  return Status();
}

}  // namespace minnow::cli
