#include "constrain/cuts.h"

#include <utf8proc.h>

#include "text/utf8.h"

namespace minnow::constrain {
namespace {

enum class Kind : uint8_t { kOther, kWhite, kLetter, kDigit, kPoint };

Kind KindOf(char32_t c) {
  if (c < 0x80) {
    if ((c | 0x20) - 'a' < 26 || c == '_') return Kind::kLetter;
    if (c - '0' < 10) return Kind::kDigit;
    if (c == '.' || c == ',') return Kind::kPoint;
    return text::IsWhiteSpace(c) ? Kind::kWhite : Kind::kOther;
  }
  if (text::IsWhiteSpace(c)) return Kind::kWhite;
  const int category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  if (category == UTF8PROC_CATEGORY_ND) return Kind::kDigit;
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_ME ? Kind::kLetter
                                                                              : Kind::kOther;
}

// Whether a reader sees a border between two code points that follow each other.
bool Breaks(char32_t before, char32_t after, int* state) {
  if ((before < 0x80 && after < 0x80) || !text::IsCodePoint(before) || !text::IsCodePoint(after)) {
    *state = 0;
    return !(before == '\r' && after == '\n');
  }
  return utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(before),
                                          static_cast<utf8proc_int32_t>(after), state);
}

}  // namespace

Cuts FindCuts(std::string_view text, bool whole_words) {
  Cuts cuts;
  cuts.marks.assign(text.size(), 0);
  cuts.marks.push_back(kCharacter | kCut);
  Kind last = Kind::kOther, last_but_one = Kind::kOther;
  char32_t before = text::kIllFormed;
  size_t before_at = 0;
  int state = 0;
  for (size_t at = 0; at < text.size();) {
    const text::CodePoint c = text::DecodeUtf8(text, at);
    const bool known = text::IsCodePoint(c.value);
    if (!known && cuts.ill_formed == SIZE_MAX) cuts.ill_formed = at;
    const Kind kind = known ? KindOf(c.value) : Kind::kOther;
    uint8_t mark = kCharacter;
    if (at == 0 || Breaks(before, c.value, &state)) mark |= kCut;
    if (kind == Kind::kWhite) mark |= kWhite;
    if (whole_words) {
      if (kind == last && (kind == Kind::kLetter || kind == Kind::kDigit)) mark &= ~kCut;
      if (kind == Kind::kDigit && last == Kind::kPoint && last_but_one == Kind::kDigit) {
        mark &= ~kCut;
        cuts.marks[before_at] &= ~kCut;
      }
    }
    cuts.marks[at] = mark;
    last_but_one = last;
    last = kind;
    before = c.value;
    before_at = at;
    at += c.length;
  }
  return cuts;
}

}  // namespace minnow::constrain
