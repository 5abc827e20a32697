// Sets of Unicode code points: what a character class of a pattern or a grammar is.
// Threads: values; PropertyChars may be called from any.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

inline constexpr char32_t kMaxCodePoint = 0x10FFFF;

class CharSet {
 public:
  CharSet() = default;
  explicit CharSet(std::vector<CharRange> ranges);  // in any order; they may overlap
  static CharSet All() { return CharSet({{0, kMaxCodePoint}}); }

  std::span<const CharRange> ranges() const { return ranges_; }  // ascending, with gaps between
  bool empty() const;  // is there no character in it? Surrogates are none.
  CharSet Complement() const;
  // With every character that differs from one of the set by its case only: Unicode's simple case
  // folding, where `s` and `ſ` are the same, and `i` and `ı` are not.
  CharSet WithOtherCases() const;

 private:
  std::vector<CharRange> ranges_;
};

// The characters with a property, as \p{...} names it: a general category, short or long (Lu,
// Uppercase_Letter, gc=Lu), a script (Script=Greek, sc=Grek, scx=Greek, Greek) or a binary property
// (Alphabetic, White_Space, Emoji). The answers are kept for the life of the process: names are
// few, and each costs a walk through Unicode.
Result<CharSet> PropertyChars(std::string_view name);

}  // namespace minnow::constrain
