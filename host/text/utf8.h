// UTF-8, one code point at a time, for text that may be ill-formed.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace minnow::text {

inline constexpr char32_t kIllFormed = 0xFFFFFFFF;   // no code point: these bytes are not UTF-8
inline constexpr char32_t kIncomplete = 0xFFFFFFFE;  // no code point yet: the text ends inside it
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct CodePoint {
  char32_t value;  // or kIllFormed, kIncomplete
  size_t length;   // bytes it takes; of an ill-formed or incomplete one, those that belong together
};

// The code point at text[at]; `at` < text.size(). Surrogates and overlong forms are ill-formed.
inline CodePoint DecodeUtf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4) return {kIllFormed, 1};
  char32_t value = lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) {
    if (at + i >= text.size()) return {kIncomplete, i};
    // The second byte's range excludes overlong forms, surrogates and values past U+10FFFF.
    const unsigned low = i > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const unsigned high = i > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(i) < low || byte(i) > high) return {kIllFormed, i};
    value = value << 6 | (byte(i) & 0x3F);
  }
  return {value, length};
}

inline bool IsCodePoint(char32_t value) { return value <= 0x10FFFF; }

// Appends a code point below U+110000.
inline void AppendUtf8(char32_t value, std::string& out) {
  if (value < 0x80) {
    out += static_cast<char>(value);
    return;
  }
  const int tail = value < 0x800 ? 1 : value < 0x10000 ? 2 : 3;
  constexpr unsigned kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[tail] | value >> (6 * tail));
  for (int i = tail - 1; i >= 0; --i) out += static_cast<char>(0x80 | (value >> (6 * i) & 0x3F));
}

// The length of the longest well-formed beginning of `text` from `at` on.
inline size_t WellFormedLength(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size()) {
    if (static_cast<unsigned char>(text[end]) < 0x80) {
      ++end;
      continue;
    }
    const CodePoint c = DecodeUtf8(text, end);
    if (!IsCodePoint(c.value)) break;
    end += c.length;
  }
  return end - at;
}

// Unicode's White_Space property, which is what \s means to the tokenizers we follow.
inline bool IsWhiteSpace(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace minnow::text
