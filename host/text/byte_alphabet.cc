#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "text/utf8.h"

namespace minnow::text {
namespace {

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr int kLetters = 256 + 68;  // 68 bytes do not stand for themselves

constexpr std::array<int16_t, kLetters> MakeByteOfLetter() {
  std::array<int16_t, kLetters> table{};
  table.fill(-1);
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    table[StandsForItself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  }
  return table;
}
constexpr auto kByteOfLetter = MakeByteOfLetter();

}  // namespace

std::optional<std::string> BytesOfLetters(std::string_view letters) {
  std::string bytes;
  for (size_t at = 0; at < letters.size();) {
    const CodePoint c = DecodeUtf8(letters, at);
    if (c.value >= kLetters || kByteOfLetter[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kByteOfLetter[c.value]);
    at += c.length;
  }
  return bytes;
}

}  // namespace minnow::text
