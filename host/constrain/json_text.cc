#include "constrain/json_text.h"

#include <algorithm>
#include <vector>

#include "text/utf8.h"

namespace minnow::constrain {

namespace {

constexpr CharRange kAnyChar[] = {{0, 0x10FFFF}};
constexpr std::string_view kHex = "0123456789abcdef";

// The letter behind the backslash; 0: it has no escape of two characters.
char ShortEscape(char32_t c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

}  // namespace

Term JsonChars(Terms& terms, std::span<const CharRange> ranges) {
  std::vector<CharRange> plain;
  ByteSet letters, low, high;  // behind \, behind \u000, behind \u001
  for (const CharRange& range : ranges) {
    for (char32_t c = range.first; c <= std::min<char32_t>(range.last, 0x1F); ++c) {
      if (const char letter = ShortEscape(c)) {
        letters.Add(static_cast<uint8_t>(letter));
      } else {
        (c < 0x10 ? low : high).Add(static_cast<uint8_t>(kHex[c & 15]));
      }
    }
    char32_t from = std::max<char32_t>(range.first, 0x20);
    for (const char32_t escaped : {U'"', U'\\'}) {
      if (escaped < from || escaped > range.last) continue;
      letters.Add(static_cast<uint8_t>(escaped));
      if (from < escaped) plain.push_back({from, escaped - 1});
      from = escaped + 1;
    }
    if (from <= range.last) plain.push_back({from, range.last});
  }
  std::vector<Term> escapes;
  if (!letters.empty()) escapes.push_back(terms.Bytes(letters));
  if (!low.empty()) escapes.push_back(terms.Concat(terms.Literal("u000"), terms.Bytes(low)));
  if (!high.empty()) escapes.push_back(terms.Concat(terms.Literal("u001"), terms.Bytes(high)));
  std::vector<Term> all;
  if (!plain.empty()) all.push_back(terms.Chars(plain));
  if (!escapes.empty()) all.push_back(terms.Concat(terms.Literal("\\"), terms.Or(escapes)));
  return terms.Or(all);
}

Term JsonAnyChar(Terms& terms) { return JsonChars(terms, kAnyChar); }

Term JsonString(Terms& terms, Term content) {
  const Term quote = terms.Literal("\"");
  const Term parts[] = {quote, content, quote};
  return terms.Concat(parts);
}

std::string JsonContent(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::DecodeUtf8(text, at);
    if (!text::IsCodePoint(c.value)) {
      out += text::kReplacement;
    } else if (const char letter = ShortEscape(c.value)) {
      (out += '\\') += letter;
    } else if (c.value < 0x20) {
      ((out += "\\u00") += kHex[c.value >> 4]) += kHex[c.value & 15];
    } else {
      out += text.substr(at, c.length);
    }
    at += c.length;
  }
  return out;
}

std::string JsonQuote(std::string_view text) { return '"' + JsonContent(text) + '"'; }

}  // namespace minnow::constrain
