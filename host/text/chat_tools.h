// Tools of a conversation: whether a chat template tells the model of them, and how it writes
// calls. Templates say neither; they are asked, by giving them a tool and a call of it.
//
// Threads: pure functions.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "text/chat_template.h"

namespace minnow::text {

enum class ToolCallFormat {
  kJson,    // {"name": "find", "arguments": {...}}
  kHermes,  // <tool_call>\n{"name": "find", "arguments": {...}}\n</tool_call>   (Hermes, Qwen)
  kLlama3,  // {"name": "find", "parameters": {...}}                               (Llama 3)
};
const char* ToolCallFormatName(ToolCallFormat format);  // "json", "hermes", "llama3"
std::optional<ToolCallFormat> ToolCallFormatOf(std::string_view name);

struct ToolUse {
  bool told = false;  // the template has a place for tools
  // How it writes calls. Null: in a form of its own, or not at all though it has a place for tools.
  std::optional<ToolCallFormat> calls;
};
// `like` has the begin and end tokens.
ToolUse FindToolUse(const ChatTemplate& chat, const ChatInput& like);

// For a template that has no place for tools: puts them before the first user's message, with the
// form kJson of calls, and leaves `tools` empty. kInvalid if there is no user's message with a
// text.
Status TellOfTools(ChatInput* input);

}  // namespace minnow::text
