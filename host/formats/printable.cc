#include "formats/printable.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace minnow::formats {
namespace {

// Length of the printable character that `s` begins with; 0 for control characters (C0, DEL, C1)
// and for anything that is not shortest-form UTF-8.
size_t PrintableLength(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7f ? 1 : 0;
  const size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || s.size() < length) return 0;
  uint32_t code = lead & (0x7fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  constexpr uint32_t kFirst[] = {0, 0, 0xa0, 0x800, 0x10000};
  if (code < kFirst[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
  return length;
}

}  // namespace

std::string Printable(std::string_view bytes, size_t max_bytes) {
  std::string out;
  size_t i = 0;
  while (i < bytes.size()) {
    const size_t length = PrintableLength(bytes.substr(i));
    if (i + (length ? length : 1) > max_bytes) return out + "...";
    if (length) {
      out.append(bytes.substr(i, length));
      i += length;
    } else {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<uint8_t>(bytes[i]));
      ++i;
    }
  }
  return out;
}

}  // namespace minnow::formats
