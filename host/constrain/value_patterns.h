// Numbers and dates as people write them in documents, as languages: to be met with the spans of a
// document, And(SpanTerm(terms, spans), NumberPattern(terms)), for spans that parse. Use spans of
// whole words, or "34" is a number in "1,234". normalize.h reads what these write.
// All their characters are written the same raw and in JSON. Threads: as Terms.
#pragma once

#include "constrain/terms.h"

namespace minnow::constrain {

// "1,234.50" "1.234,50" "1 234" "1'234.50" "12,34,567.00" ".5" "-3%" "+7" "(9.99)" "9.99-"; no
// currency. Space between thousands is U+0020, U+00A0, U+2009 or U+202F.
Term NumberPattern(Terms& terms);

// Numeric ones of day, month and year in any order that people use ("30/03/2018" "3-30-18"
// "2018.03.30" "20180330"), and with an English month ("30 March 2018" "30-MAR-18" "30th of March,
// 2018" "MAR 30, 2018"). A month is 1 to 12 and a day 1 to 31.
Term DatePattern(Terms& terms);

}  // namespace minnow::constrain
