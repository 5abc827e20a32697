// What an answer has to be, as requests say it; a value. grammar_cache.h makes grammars of it.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::constrain {

struct Constraint {
  enum class Kind { kNone, kJsonSchema, kRegex, kGbnf, kLark, kChoice, kToolCalls };
  Kind kind = Kind::kNone;
  // The schema, pattern or grammar; of a choice, a JSON list of strings; of calls of tools, what
  // tool_calls.h makes.
  std::string source;
  std::string document;  // what the spans of `from_source` are taken from

  explicit operator bool() const { return kind != Kind::kNone; }
  auto operator<=>(const Constraint&) const = default;
};
// "json_schema", "regex", "gbnf", "lark", "choice", "tool_calls".
const char* KindName(Constraint::Kind kind);
Result<Constraint::Kind> KindOf(std::string_view name);

}  // namespace minnow::constrain
