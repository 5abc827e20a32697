// What an answer has to be, as requests say it; a value. grammar_cache.h makes grammars of it.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::constrain {

struct Constraint {
  enum class Kind { kNone, kJsonSchema, kRegex, kGbnf, kLark, kChoice };
  Kind kind = Kind::kNone;
  std::string source;    // the schema, pattern or grammar; of a choice, a JSON list of strings
  std::string document;  // what the spans of `from_source` are taken from

  explicit operator bool() const { return kind != Kind::kNone; }
  auto operator<=>(const Constraint&) const = default;
};
const char* KindName(Constraint::Kind kind);  // "json_schema", "regex", "gbnf", "lark", "choice"
Result<Constraint::Kind> KindOf(std::string_view name);

}  // namespace minnow::constrain
