// Grammars in GBNF, the notation of llama.cpp: `root ::= "yes" | "no" [!.]{0,3}`.
//
// Rules with ::=, alternatives, sequences, literals, character classes, `.`, groups, * + ? {m} {m,}
// {m,n}, comments with #; `root` is where an answer begins. A rule goes on in the next line inside
// parentheses, after a `|`, and where the next line begins with one. All is text in UTF-8: whole
// characters, never single bytes. Refused, with line and column: tokens by number or name
// (<[12]>, <think>), rules defined twice or nowhere, and left recursion through other rules; rules
// that begin with themselves directly are rewritten.
//
// Threads: those of the terms.
#pragma once

#include <string_view>

#include "base/status.h"
#include "constrain/terms.h"

namespace minnow::constrain {

// The language of `root`. The terms are still to be sealed, and of no use after a failure.
Result<Term> CompileGbnf(Terms& terms, std::string_view grammar);

}  // namespace minnow::constrain
