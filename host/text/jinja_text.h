// Text that remembers who wrote it.
//
// A control token such as <|im_start|> counts only where the template wrote it; the same
// characters inside a message are ordinary text. So a template's string values are UTF-8 bytes
// with runs of origin, and concatenation, slicing, trimming, splitting and case mapping keep the
// runs. Positions are byte offsets on character boundaries; CharCount and CharToByte translate
// from Python's code points. A byte that is not valid UTF-8 counts as one character.
// Threads: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/jinja_meter.h"

namespace minnow::text::jinja {

enum class Origin : uint8_t {
  kTemplate,  // literals of the template, bos_token and eos_token, numbers, names of known roles
  kData,      // everything else the caller passed in
};

class Text {
 public:
  struct Run {
    size_t end;  // offset behind the run's last byte
    Origin origin;
  };

  Text() = default;
  Text(std::string_view bytes, Origin origin) { Append(bytes, origin); }

  std::string_view view() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }

  // The origin of a text computed from this one as a whole: data if any part is data.
  Origin origin() const;

  // Set by the filters `safe` and `escape`: `+` then escapes its other operand, as Markup does.
  bool markup() const { return markup_; }
  void set_markup(bool markup) { markup_ = markup; }

  void Append(std::string_view bytes, Origin origin);
  void AppendSlice(const Text& other, size_t begin, size_t end);
  void Append(const Text& other) { AppendSlice(other, 0, other.size()); }
  Text Slice(size_t begin, size_t end) const;  // keeps the markup flag

 private:
  std::string bytes_;
  std::vector<Run> runs_;
  bool markup_ = false;
};

// Builds a text within the limits.
class TextBuilder {
 public:
  explicit TextBuilder(Meter& meter) : meter_(meter) {}

  Status Append(std::string_view bytes, Origin origin);
  Status AppendSlice(const Text& text, size_t begin, size_t end);
  Status Append(const Text& text) { return AppendSlice(text, 0, text.size()); }

  size_t size() const { return text_.size(); }
  Result<Text> Finish();

 private:
  Meter& meter_;
  Text text_;
};

// The character at `pos` and the offset behind it; 0xDC00 + byte for a byte that is not UTF-8.
struct Char {
  uint32_t code;
  size_t end;
};
Char CharAt(std::string_view s, size_t pos);
size_t LastCharBegin(std::string_view s);          // REQUIRES: not empty
void AppendChar(uint32_t code, std::string* out);  // REQUIRES: a scalar value

// string_view::find, but in linear time whatever the texts are.
size_t FindText(std::string_view s, std::string_view needle, size_t pos = 0);

size_t CharCount(std::string_view s);
size_t CharToByte(std::string_view s, size_t index);  // s.size() when index is past the end

bool IsSpace(uint32_t c);         // str.isspace
bool IsLineBreak(uint32_t c);     // where str.splitlines splits
bool IsPrintable(uint32_t c);     // str.isprintable
bool IsAlphabetic(uint32_t c);    // str.isalpha
bool IsDecimal(uint32_t c);       // str.isdecimal
bool IsNumeric(uint32_t c);       // str.isnumeric, but for ideographs that are numbers
bool IsAlphanumeric(uint32_t c);  // str.isalnum
bool IsLowerCase(uint32_t c);
bool IsUpperCase(uint32_t c);  // title case included

// The bounds of `s` without leading and trailing characters of `chars`, or white space when null.
struct Bounds {
  size_t begin;
  size_t end;
};
Bounds StripBounds(std::string_view s, const std::string_view* chars, bool left, bool right);

// Simple case mapping, and "ß" to "SS". Runs of origin are kept.
Text ToUpper(const Text& text);
Text ToLower(const Text& text);
Text Capitalize(const Text& text);  // first character in title case, the rest in lower case
Text TitleCase(const Text& text);   // every run of cased letters capitalized: str.title
Text Escape(const Text& text);      // &, <, >, ' and " for HTML; the result is markup

}  // namespace minnow::text::jinja
