#include "text/chat_template.h"

#include <algorithm>
#include <string_view>

#include "text/jinja_eval.h"
#include "text/jinja_parser.h"
#include "text/jinja_print.h"

namespace minnow::text {
namespace {

using jinja::Dict;
using jinja::Interpreter;
using jinja::Meter;
using jinja::Origin;
using jinja::Text;
using jinja::Value;
using Json = nlohmann::ordered_json;

// Roles that a template may build control tokens from. Each is a plain word.
bool IsKnownRole(std::string_view role) {
  static constexpr std::string_view kRoles[] = {
      "assistant", "context",   "developer",     "document",    "documents", "environment",
      "function",  "ipython",   "model",         "observation", "platform",  "system",
      "tool",      "tool_call", "tool_response", "tools",       "user"};
  return std::find(std::begin(kRoles), std::end(kRoles), role) != std::end(kRoles);
}

// Reasoning goes by three names. As in `transformers`, `reasoning_content` gets the first that is
// set, and `thinking` too unless the message has one.
Result<Dict> WithReasoning(const Dict& message) {
  const Value* reasoning = nullptr;
  for (const std::string_view name : {"reasoning_content", "thinking", "reasoning"}) {
    const Value* value = message.Find(name);
    if (!reasoning && value && !value->Is<jinja::None>()) reasoning = value;
  }
  if (!reasoning) return message;
  Dict aliased;
  aliased.Set(Value::Str("thinking"), *reasoning);
  for (const auto& [key, value] : message.entries()) aliased.Set(key, value);
  aliased.Set(Value::Str("reasoning_content"), *reasoning);
  return aliased;
}

Result<Value> ConvertMessage(const Json& json, Meter& meter) {
  if (!json.is_object()) return Error(Code::kInvalid, "each message must be a JSON object");
  MNW_ASSIGN(const Value converted, jinja::FromJson(json, meter));
  MNW_ASSIGN(Dict message, WithReasoning(*converted.dict()));
  const Value* role = message.Find("role");
  if (role && role->text() && IsKnownRole(role->text()->view())) {
    message.Set(Value::Str("role"), Value::Str(role->text()->view()));
  }
  return jinja::MakeDict(std::move(message), meter);
}

Result<Value> ConvertMessages(const Json& json, Meter& meter) {
  if (!json.is_array()) return Error(Code::kInvalid, "messages must be a JSON array");
  std::vector<Value> messages;
  for (const Json& message : json) {
    MNW_ASSIGN(Value value, ConvertMessage(message, meter));
    messages.push_back(std::move(value));
  }
  return jinja::MakeList(std::move(messages), meter);
}

Result<Interpreter::Variables> MakeVariables(const ChatInput& input, Meter& meter) {
  Interpreter::Variables variables;
  MNW_ASSIGN(Value messages, ConvertMessages(input.messages, meter));
  variables.emplace_back("messages", std::move(messages));
  MNW_ASSIGN(Value tools, jinja::FromJson(input.tools.value_or(nullptr), meter));
  variables.emplace_back("tools", std::move(tools));
  variables.emplace_back("documents", Value());
  variables.emplace_back("add_generation_prompt", Value::Bool(input.add_generation_prompt));
  if (input.bos_token) variables.emplace_back("bos_token", Value::Str(*input.bos_token));
  if (input.eos_token) variables.emplace_back("eos_token", Value::Str(*input.eos_token));
  if (!input.variables.is_object()) {
    return Error(Code::kInvalid, "template variables must be a JSON object");
  }
  for (const auto& [name, json] : input.variables.items()) {
    MNW_ASSIGN(Value value, jinja::FromJson(json, meter));
    variables.emplace_back(name, std::move(value));
  }
  return variables;
}

}  // namespace

ChatTemplate::ChatTemplate(std::vector<jinja::Stmt> body, TemplateLimits limits)
    : body_(std::make_shared<const jinja::Body>(std::move(body))), limits_(limits) {}

Result<ChatTemplate> ChatTemplate::Compile(const std::string& source, TemplateLimits limits) {
  MNW_ASSIGN(jinja::Body body, jinja::Parse(source));
  return ChatTemplate(std::move(body), limits);
}

Result<std::vector<ChatTemplate::Span>> ChatTemplate::Render(const ChatInput& input) const {
  Interpreter interpreter(limits_, input.now);
  MNW_ASSIGN(const Interpreter::Variables variables, MakeVariables(input, interpreter.meter()));
  MNW_ASSIGN(const Text text, interpreter.Render(*body_, variables));
  std::vector<Span> spans;
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    spans.push_back(
        {std::string(text.view().substr(begin, run.end - begin)), run.origin == Origin::kTemplate});
    begin = run.end;
  }
  return spans;
}

Result<std::string> ChatTemplate::RenderText(const ChatInput& input) const {
  MNW_ASSIGN(const std::vector<Span> spans, Render(input));
  std::string text;
  for (const Span& span : spans) text += span.text;
  return text;
}

}  // namespace minnow::text
