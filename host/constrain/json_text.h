// How JSON is written: one spelling for each character, so that two languages of JSON strings
// intersect, and complement, as those of their characters do.
//
// A character stands for itself, as UTF-8, but for \" \\ \b \f \n \r \t and the other control
// characters, which are \u00xx in lower case. Threads: as Terms.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "constrain/terms.h"

namespace minnow::constrain {

// One character out of these, as it stands inside a JSON string.
Term JsonChars(Terms& terms, std::span<const CharRange> ranges);

// Any one character.
Term JsonAnyChar(Terms& terms);

// With the quotation marks.
Term JsonString(Terms& terms, Term content);

// A known string: with its quotation marks, and without. Bytes that are no UTF-8 become U+FFFD.
std::string JsonQuote(std::string_view text);
std::string JsonContent(std::string_view text);

}  // namespace minnow::constrain
