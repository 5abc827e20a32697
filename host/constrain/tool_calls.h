// Calls of tools, as models are taught to write them (text/chat_tools.h has the formats): the name
// of one of the tools, and arguments that obey its schema.
//
// The markers of Hermes are bytes here as everything is; one line with them is one call, and there
// may be several. The other formats are one call. Where the model may answer in its own words
// instead, an answer that begins with "{" or has "<tool_call>" in it is a call, and no other is.
//
// Threads: as Terms; the rest are pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "constrain/constraint.h"
#include "constrain/terms.h"
#include "text/chat_tools.h"

namespace minnow::constrain {

struct ToolCalls {
  // A list as OpenAI's API has it: [{"type": "function", "function": {"name": ..., "description":
  // ..., "parameters": SCHEMA}}, ...]. A tool without parameters takes {}.
  nlohmann::ordered_json tools;
  // "required": at least one call; "auto": calls or an answer in words; or a tool's name: one call
  // of that.
  std::string choice = "required";
  std::optional<text::ToolCallFormat> format;  // null: the model's own
};

// The constraint of kind kToolCalls. Refuses what are no tools, by JSON pointer, but reads no
// schema; `format` is a format's name or "auto".
Result<Constraint> ToolCallsConstraint(const nlohmann::ordered_json& tools, std::string_view choice,
                                       std::string_view format);
// Back again, for whoever settles the format. REQUIRES: a source that ToolCallsConstraint made.
Result<ToolCalls> ReadToolCalls(const std::string& source);
std::string ToolCallsSource(const ToolCalls& calls);

// Failures name the place in the list by JSON pointer. The terms are still to be sealed. A format
// that is not settled is kJson.
Result<Term> CompileToolCalls(Terms& terms, const ToolCalls& calls);

struct ToolCall {
  std::string name;
  nlohmann::ordered_json arguments;
};
// The calls of an answer that was held to them; none in one in words. kInvalid if it was cut.
Result<std::vector<ToolCall>> CallsOf(std::string_view answer);

}  // namespace minnow::constrain
