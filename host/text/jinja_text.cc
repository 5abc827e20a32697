#include "text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace minnow::text::jinja {

Origin Text::origin() const {
  const bool data = std::any_of(runs_.begin(), runs_.end(),
                                [](const Run& run) { return run.origin == Origin::kData; });
  return data ? Origin::kData : Origin::kTemplate;
}

void Text::Append(std::string_view bytes, Origin origin) {
  if (bytes.empty()) return;
  bytes_ += bytes;
  if (!runs_.empty() && runs_.back().origin == origin) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), origin});
  }
}

void Text::AppendSlice(const Text& other, size_t begin, size_t end) {
  auto run = std::upper_bound(other.runs_.begin(), other.runs_.end(), begin,
                              [](size_t pos, const Run& r) { return pos < r.end; });
  while (begin < end) {
    const size_t stop = std::min(end, run->end);
    Append(other.view().substr(begin, stop - begin), run->origin);
    begin = stop;
    ++run;
  }
}

Text Text::Slice(size_t begin, size_t end) const {
  Text slice;
  slice.markup_ = markup_;
  slice.AppendSlice(*this, begin, end);
  return slice;
}

Status TextBuilder::Append(std::string_view bytes, Origin origin) {
  MNW_TRY(meter_.Growing(text_.size() + bytes.size()));
  text_.Append(bytes, origin);
  return {};
}

Status TextBuilder::AppendSlice(const Text& text, size_t begin, size_t end) {
  MNW_TRY(meter_.Growing(text_.size() + (end - begin)));
  text_.AppendSlice(text, begin, end);
  return {};
}

Result<Text> TextBuilder::Finish() {
  MNW_TRY(meter_.Text(text_.size()));
  return std::move(text_);
}

Char CharAt(std::string_view s, size_t pos) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(s.data()) + pos;
  if (*bytes < 0x80) return {*bytes, pos + 1};
  utf8proc_int32_t code = 0;
  const utf8proc_ssize_t n =
      utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(s.size() - pos), &code);
  if (n <= 0) return {0xDC00u + *bytes, pos + 1};
  return {static_cast<uint32_t>(code), pos + static_cast<size_t>(n)};
}

size_t LastCharBegin(std::string_view s) {
  size_t begin = s.size() - 1;
  while (begin > 0 && s.size() - begin < 4 &&
         (static_cast<unsigned char>(s[begin]) & 0xC0) == 0x80) {
    --begin;
  }
  return CharAt(s, begin).end == s.size() ? begin : s.size() - 1;  // else a stray byte
}

void AppendChar(uint32_t code, std::string* out) {
  utf8proc_uint8_t buffer[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), buffer);
  out->append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(n));
}

size_t FindText(std::string_view s, std::string_view needle, size_t pos) {
  if (pos > s.size()) return std::string_view::npos;
  const void* found = memmem(s.data() + pos, s.size() - pos, needle.data(), needle.size());
  return found ? static_cast<size_t>(static_cast<const char*>(found) - s.data())
               : std::string_view::npos;
}

size_t CharCount(std::string_view s) {
  size_t count = 0;
  for (size_t pos = 0; pos < s.size(); ++count) {
    pos = static_cast<unsigned char>(s[pos]) < 0x80 ? pos + 1 : CharAt(s, pos).end;
  }
  return count;
}

size_t CharToByte(std::string_view s, size_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < s.size(); --index) pos = CharAt(s, pos).end;
  return pos;
}

bool IsSpace(uint32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsLineBreak(uint32_t c) {
  return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

namespace {

constexpr uint32_t Bit(utf8proc_category_t category) { return 1u << category; }

// Whether the character's general category is one of `set`. Stray bytes are in none.
bool InCategories(uint32_t c, uint32_t set) {
  if (c >= 0xD800 && c <= 0xDFFF) return false;
  return (set >> utf8proc_category(static_cast<utf8proc_int32_t>(c))) & 1;
}

constexpr uint32_t kLower = Bit(UTF8PROC_CATEGORY_LL);
constexpr uint32_t kUpper = Bit(UTF8PROC_CATEGORY_LU) | Bit(UTF8PROC_CATEGORY_LT);
constexpr uint32_t kLetter =
    kLower | kUpper | Bit(UTF8PROC_CATEGORY_LM) | Bit(UTF8PROC_CATEGORY_LO);
constexpr uint32_t kDecimal = Bit(UTF8PROC_CATEGORY_ND);
constexpr uint32_t kNumber = kDecimal | Bit(UTF8PROC_CATEGORY_NL) | Bit(UTF8PROC_CATEGORY_NO);
constexpr uint32_t kPrintable =
    kLetter | kNumber | Bit(UTF8PROC_CATEGORY_MN) | Bit(UTF8PROC_CATEGORY_MC) |
    Bit(UTF8PROC_CATEGORY_ME) | Bit(UTF8PROC_CATEGORY_PC) | Bit(UTF8PROC_CATEGORY_PD) |
    Bit(UTF8PROC_CATEGORY_PS) | Bit(UTF8PROC_CATEGORY_PE) | Bit(UTF8PROC_CATEGORY_PI) |
    Bit(UTF8PROC_CATEGORY_PF) | Bit(UTF8PROC_CATEGORY_PO) | Bit(UTF8PROC_CATEGORY_SM) |
    Bit(UTF8PROC_CATEGORY_SC) | Bit(UTF8PROC_CATEGORY_SK) | Bit(UTF8PROC_CATEGORY_SO);

}  // namespace

bool IsPrintable(uint32_t c) { return c == ' ' || InCategories(c, kPrintable); }
bool IsAlphabetic(uint32_t c) { return InCategories(c, kLetter); }
bool IsDecimal(uint32_t c) { return InCategories(c, kDecimal); }
bool IsNumeric(uint32_t c) { return InCategories(c, kNumber); }
bool IsAlphanumeric(uint32_t c) { return InCategories(c, kLetter | kNumber); }
bool IsLowerCase(uint32_t c) { return InCategories(c, kLower); }
bool IsUpperCase(uint32_t c) { return InCategories(c, kUpper); }

Bounds StripBounds(std::string_view s, const std::string_view* chars, bool left, bool right) {
  const auto strip = [&](size_t begin, size_t end) {
    if (!chars) return IsSpace(CharAt(s, begin).code);
    const std::string_view one = s.substr(begin, end - begin);
    for (size_t pos = 0; pos < chars->size();) {
      const size_t next = CharAt(*chars, pos).end;
      if (chars->substr(pos, next - pos) == one) return true;
      pos = next;
    }
    return false;
  };
  Bounds b{0, s.size()};
  while (left && b.begin < b.end) {
    const size_t next = CharAt(s, b.begin).end;
    if (!strip(b.begin, next)) break;
    b.begin = next;
  }
  while (right && b.begin < b.end) {
    const size_t last = b.begin + LastCharBegin(s.substr(b.begin, b.end - b.begin));
    if (!strip(last, b.end)) break;
    b.end = last;
  }
  return b;
}

namespace {

// Replaces each character by what `map(code, &out)` appends; false keeps the character's own bytes.
template <class Map>
Text MapChars(const Text& text, Map map) {
  Text result;
  result.set_markup(text.markup());
  size_t pos = 0;
  std::string mapped;
  for (const Text::Run& run : text.runs()) {
    mapped.clear();
    while (pos < run.end) {
      const Char c = CharAt(text.view(), pos);
      if (!map(c.code, &mapped)) mapped += text.view().substr(pos, c.end - pos);
      pos = c.end;
    }
    result.Append(mapped, run.origin);
  }
  return result;
}

bool IsScalar(uint32_t c) { return c < 0xD800 || c > 0xDFFF; }

bool Upper(uint32_t c, std::string* out) {
  if (!IsScalar(c)) return false;
  if (c == 0xDF) {
    *out += "SS";
  } else {
    AppendChar(static_cast<uint32_t>(utf8proc_toupper(static_cast<int32_t>(c))), out);
  }
  return true;
}

bool Title(uint32_t c, std::string* out) {
  if (!IsScalar(c)) return false;
  if (c == 0xDF) {
    *out += "Ss";
  } else {
    AppendChar(static_cast<uint32_t>(utf8proc_totitle(static_cast<int32_t>(c))), out);
  }
  return true;
}

bool Lower(uint32_t c, std::string* out) {
  if (!IsScalar(c)) return false;
  AppendChar(static_cast<uint32_t>(utf8proc_tolower(static_cast<int32_t>(c))), out);
  return true;
}

}  // namespace

Text ToUpper(const Text& text) { return MapChars(text, Upper); }

Text ToLower(const Text& text) { return MapChars(text, Lower); }

Text Capitalize(const Text& text) {
  bool first = true;
  return MapChars(text, [&](uint32_t c, std::string* out) {
    return std::exchange(first, false) ? Title(c, out) : Lower(c, out);
  });
}

Text TitleCase(const Text& text) {
  bool inside = false;
  return MapChars(text, [&](uint32_t c, std::string* out) {
    return std::exchange(inside, IsLowerCase(c) || IsUpperCase(c)) ? Lower(c, out) : Title(c, out);
  });
}

Text Escape(const Text& text) {
  if (text.markup()) return text;
  Text escaped = MapChars(text, [](uint32_t c, std::string* out) {
    switch (c) {
      case '&':
        *out += "&amp;";
        return true;
      case '<':
        *out += "&lt;";
        return true;
      case '>':
        *out += "&gt;";
        return true;
      case '\'':
        *out += "&#39;";
        return true;
      case '"':
        *out += "&#34;";
        return true;
      default:
        return false;
    }
  });
  escaped.set_markup(true);
  return escaped;
}

}  // namespace minnow::text::jinja
