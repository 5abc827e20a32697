// Regular expressions as languages: ECMA-262's with its flag `u`, which JSON Schema's `pattern`
// means, and what is common beside it: (?i), (?s), (?P<name>...).
//
// Literals, classes, \d \w \s as ECMA-262 has them, \p{...}, groups of any kind (they capture
// nothing), alternatives, and repetition, where lazy and greedy are the same language. ^ and $ are
// the beginning and the end of the text, wherever they stand; where they cannot be met there is
// no string. Refused, with the offset in bytes: look-around, back references, \b, and what
// dialects write alike and mean differently ({,n}, [:alpha:], \A). Repetition is counted, not
// unrolled, so `a{1,100000}` is small.
//
// Threads: those of the terms.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

inline constexpr size_t kMaxPatternBytes = 64 << 10;
inline constexpr uint32_t kMaxRepeat = 100'000;
inline constexpr size_t kMaxRanges = 100'000;  // of characters: \p{L} has 650

// One character out of these ranges as it is to be written: as UTF-8 (WriteRaw), or as a JSON
// string has it.
using CharWriter = std::function<Term(Terms&, std::span<const CharRange>)>;
Term WriteRaw(Terms& terms, std::span<const CharRange> ranges);

struct RegexOptions {
  bool search = false;  // JSON Schema's meaning: the pattern may match anywhere in the text
  bool ignore_case = false;
  bool dot_all = false;  // `.` is line ends too
  // How many more ranges of characters may be written, for patterns that share a limit because one
  // source holds them all; null: kMaxRanges for this one alone.
  size_t* ranges_left = nullptr;
};

Result<Term> CompileRegex(Terms& terms, std::string_view pattern, const CharWriter& write,
                          const RegexOptions& options = {});

}  // namespace minnow::constrain
