// Grammars in the notation of the Lark parser, as languages of texts.
//
//   start: greeting ("," name)~0..3          rules: lower case
//   greeting: "hello"i | /good (morning|night)/ -> wish
//   name: NAME
//   NAME: "A".."Z" /[a-z]+/                  terminals: upper case
//   %import common.WS
//   %ignore WS
//
// ( ) [ ] | ? * + ~n ~n..m, strings and patterns with the flag i, patterns with s (patterns are
// those of regex.h, not Python's), comments with // and #. `start` is where an answer begins.
//
// Meant is every text that some division into terminals makes a sentence of the rules. Lark's lexer
// would look at the longest terminal only, and at priorities: so `start: WORD "end"` has "theend"
// here and not there. Priorities, aliases (->) and the marks ? ! _ of rules, which shape trees, are
// read and mean nothing. What is ignored may stand after every terminal of a rule and in front of
// all, up to 64 bytes in a row. Of %import, `common` is known, with its usual terminals; refused by
// line and column are templates, %declare, %extend, %override, other flags, terminals that use
// themselves, and left recursion but for rules that begin with themselves directly.
//
// Threads: those of the terms.
#pragma once

#include <string_view>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

// The language of `start`. The terms are still to be sealed, and of no use after a failure.
Result<Term> CompileLark(Terms& terms, std::string_view grammar);

}  // namespace minnow::constrain
