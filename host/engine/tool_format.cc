#include "engine/tool_format.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "constrain/tool_calls.h"
#include "model/model.h"

namespace minnow::engine {

namespace {

bool HasControl(const text::Tokenizer& tokenizer, std::string_view text) {
  const auto tokens = tokenizer.Encode(text, true, {.add_bos = false});
  return tokens.ok() &&
         std::ranges::any_of(*tokens, [&](TokenId token) { return tokenizer.IsControl(token); });
}

}  // namespace

Status SettleToolFormat(const model::Model& model, GenerateRequest* request) {
  using text::ToolCallFormat;
  if (request->constraint.kind != constrain::Constraint::Kind::kToolCalls) return {};
  MNW_ASSIGN(constrain::ToolCalls calls, constrain::ReadToolCalls(request->constraint.source));
  if (!calls.format) calls.format = model.tool_use().calls;
  if (!calls.format) {
    return Error(Code::kUnsupported,
                 "the chat template of model '{}' writes calls of tools in a form of its own; say "
                 "in which of these the answer is to be: json, hermes, llama3",
                 model.name());
  }
  const text::Tokenizer& tokenizer = model.tokenizer();
  const bool is_marked = *calls.format == ToolCallFormat::kHermes;
  if (is_marked &&
      (HasControl(tokenizer, "<tool_call>") || HasControl(tokenizer, "</tool_call>"))) {
    if (calls.choice == "auto") {
      return Error(
          Code::kUnsupported,
          "<tool_call> is a control token of model '{}', which cannot be left to it: choose "
          "\"required\" or a tool, or the format json",
          model.name());
    }
    MNW_ASSIGN(const std::vector<TokenId> marker,
               tokenizer.Encode("<tool_call>\n", true, {.add_bos = false}));
    request->prompt.insert(request->prompt.end(), marker.begin(), marker.end());
    request->max_tokens -= std::min(request->max_tokens, static_cast<uint32_t>(marker.size()));
    calls.format = ToolCallFormat::kJson;
  }
  request->constraint.source = constrain::ToolCallsSource(calls);
  return {};
}

}  // namespace minnow::engine
