// A chat template from a stranger's file over one conversation. The first byte chooses what the
// conversation holds, the rest is the template.
//
// What the caller said must never come out as the template's words: it consists of one letter that
// no template is given, and no control span may hold it.
#include <cstdlib>
#include <string_view>

#include "text/chat_template.h"

namespace {

using minnow::text::ChatInput;
using minnow::text::ChatTemplate;
using Json = nlohmann::ordered_json;

constexpr std::string_view kCallersLetter = "\xEE\x80\x80";  // U+E000, of private use

ChatInput MakeInput(uint8_t choice) {
  const std::string said = std::string(kCallersLetter) + std::string(kCallersLetter);
  ChatInput input;
  input.messages = Json::array();
  if (choice & 1) input.messages.push_back({{"role", "system"}, {"content", said}});
  input.messages.push_back({{"role", "user"}, {"content", said}});
  if (choice & 2) {
    Json call = {{"type", "function"},
                 {"function", {{"name", said}, {"arguments", {{"a", said}, {"b", 1.5}}}}}};
    input.messages.push_back(
        {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {std::move(call)}}});
    input.messages.push_back({{"role", "tool"}, {"content", said}});
  }
  if (choice & 4) {
    input.tools = Json::array();
    input.tools->push_back({{"type", "function"}, {"function", {{"name", said}}}});
  }
  if (choice & 8) input.variables = {{"enable_thinking", false}, {"words", {said, said}}};
  input.add_generation_prompt = (choice & 16) != 0;
  if (choice & 32) input.bos_token = "<s>";
  if (choice & 32) input.eos_token = "</s>";
  input.now = 1721995200;
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string source(reinterpret_cast<const char*>(data) + 1, size - 1);
  // Small limits: the subject is what happens at them, not how long a large one takes.
  const auto compiled = ChatTemplate::Compile(source, {.max_steps = 20'000, .max_output = 1 << 16});
  if (!compiled.ok()) return 0;
  const auto spans = compiled->Render(MakeInput(data[0]));
  if (!spans.ok() || source.find('\xEE') != std::string::npos) return 0;
  for (const ChatTemplate::Span& span : *spans) {
    if (span.control && span.text.find(kCallersLetter) != std::string::npos) std::abort();
  }
  return 0;
}
