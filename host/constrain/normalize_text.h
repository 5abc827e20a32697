// What the normalizers share. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "text/utf8.h"

namespace minnow::constrain {

inline constexpr size_t kMaxNormalized = 200;  // bytes: what is longer is none of these things

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
inline char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

inline std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Every run of white space as one space, and none at the ends.
inline std::string PlainSpaces(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::DecodeUtf8(text, at);
    if (!text::IsWhiteSpace(c.value)) {
      out += text.substr(at, c.length);
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
    at += c.length;
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// As it may stand in a message: its beginning, and no ill-formed UTF-8.
inline std::string Quoted(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::DecodeUtf8(text, at);
    out += text::IsCodePoint(c.value) ? text.substr(at, c.length) : text::kReplacement;
    at += c.length;
    if (out.size() > 60) return out + "...";
  }
  return out;
}

}  // namespace minnow::constrain
