#include "text/chat_tools.h"

#include <algorithm>
#include <array>
#include <utility>

namespace minnow::text {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 3> kFormats = {"json", "hermes", "llama3"};

constexpr const char* kName = "minnow_probe";
constexpr const char* kArguments = R"({"probe_key": "probe_value"})";

Json ProbeTools() {
  return Json::parse(R"([{"type": "function", "function": {
      "name": "minnow_probe", "description": "Does nothing", "parameters": {
        "type": "object", "required": ["probe_key"], "properties": {
          "probe_key": {"type": "string", "description": "Nothing"}}}}}])");
}

// A template may want the arguments as a text, or refuse roles that it does not know.
std::string RenderCall(const ChatTemplate& chat, ChatInput input) {
  input.add_generation_prompt = false;
  for (const Json& arguments : {Json::parse(kArguments), Json(kArguments)}) {
    Json call = {{"id", "call00000"},
                 {"type", "function"},
                 {"function", {{"name", kName}, {"arguments", arguments}}}};
    ChatInput said = input;
    said.messages.push_back(
        {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({std::move(call)})}});
    if (auto text = chat.RenderText(said); text.ok()) return *std::move(text);
  }
  return "";
}

}  // namespace

const char* ToolCallFormatName(ToolCallFormat format) {
  return kFormats[static_cast<size_t>(format)];
}

std::optional<ToolCallFormat> ToolCallFormatOf(std::string_view name) {
  const auto found = std::ranges::find(kFormats, name);
  if (found == kFormats.end()) return std::nullopt;
  return static_cast<ToolCallFormat>(found - kFormats.begin());
}

ToolUse FindToolUse(const ChatTemplate& chat, const ChatInput& like) {
  ChatInput input = like;
  input.messages = Json::array({{{"role", "user"}, {"content", "Hello"}}});
  input.tools = ProbeTools();
  input.add_generation_prompt = true;
  ToolUse use;
  const auto begun = chat.RenderText(input);
  // One that fails has its say when it is given the true conversation.
  use.told = !begun.ok() || begun->find(kName) != std::string::npos;
  if (!use.told) {
    use.calls = ToolCallFormat::kJson;
    return use;
  }
  if (!begun.ok()) return use;
  const std::string said = RenderCall(chat, input);
  const auto call = [](const char* key) {
    return fmt::format(R"({{"name": "{}", "{}": {}}})", kName, key, kArguments);
  };
  // Without markers it has to be all that the answer begins with: there are markers of many kinds.
  const auto begins = [&](const std::string& text) {
    return said.starts_with(*begun) &&
           std::string_view(said).substr(begun->size()).starts_with(text);
  };
  if (said.find("<tool_call>\n" + call("arguments") + "\n</tool_call>") != std::string::npos) {
    use.calls = ToolCallFormat::kHermes;
  } else if (begins(call("parameters"))) {
    use.calls = ToolCallFormat::kLlama3;
  } else if (begins(call("arguments"))) {
    use.calls = ToolCallFormat::kJson;
  }
  return use;
}

Status TellOfTools(ChatInput* input) {
  const auto first = std::ranges::find_if(input->messages, [](const Json& message) {
    return message.is_object() && message.value("role", Json()) == "user" &&
           message.value("content", Json()).is_string();
  });
  if (first == input->messages.end()) {
    return Error(Code::kInvalid,
                 "the model's chat template has no place for tools, and there is no user's message "
                 "to tell of them in");
  }
  std::string text = "You can call these tools, whose parameters are given as JSON Schemas:\n";
  for (const Json& tool : *input->tools) {
    const bool wrapped = tool.is_object() && tool.contains("function");
    text +=
        (wrapped ? tool["function"] : tool).dump(-1, ' ', false, Json::error_handler_t::replace);
    text += "\n";
  }
  text += "To call one, write {\"name\": <its name>, \"arguments\": <its arguments>}.\n\n";
  Json& content = (*first)["content"];
  content = text + content.get<std::string>();
  input->tools.reset();
  return {};
}

}  // namespace minnow::text
