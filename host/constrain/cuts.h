// Where a text may be cut, so that a part of it shows what the whole showed there.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace minnow::constrain {

enum CutMark : uint8_t {
  kCharacter = 1,  // a code point begins here, or the text ends
  kCut = 2,        // between two characters as a reader sees them: grapheme clusters
  kWhite = 4,      // the code point that begins here is white space
};

struct Cuts {
  std::vector<uint8_t> marks;    // of every offset, the end's included
  size_t ill_formed = SIZE_MAX;  // offset of the first byte that is not UTF-8
};

// With `whole_words` there is no kCut between two letters, between two digits, and at a point or
// comma between two digits: "1,234.50" is whole, while "RM9.00" may be cut before the 9, since
// that is how receipts write it. Bytes that are no UTF-8 count as characters.
Cuts FindCuts(std::string_view text, bool whole_words);

}  // namespace minnow::constrain
