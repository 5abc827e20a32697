#include "constrain/constraint.h"

#include <array>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr std::array<std::pair<Constraint::Kind, const char*>, 7> kKinds = {{
    {Constraint::Kind::kNone, "none"},
    {Constraint::Kind::kJsonSchema, "json_schema"},
    {Constraint::Kind::kRegex, "regex"},
    {Constraint::Kind::kGbnf, "gbnf"},
    {Constraint::Kind::kLark, "lark"},
    {Constraint::Kind::kChoice, "choice"},
    {Constraint::Kind::kToolCalls, "tool_calls"},
}};

}  // namespace

const char* KindName(Constraint::Kind kind) { return kKinds[static_cast<size_t>(kind)].second; }

Result<Constraint::Kind> KindOf(std::string_view name) {
  for (const auto& [kind, text] : kKinds) {
    if (name == text) return kind;
  }
  return Error(
      Code::kInvalid,
      "'{}' is no kind of constraint; there are json_schema, regex, gbnf, lark, choice and "
      "tool_calls",
      name);
}

}  // namespace minnow::constrain
