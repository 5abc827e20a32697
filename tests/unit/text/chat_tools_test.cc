// Which format of calls a template is found to write. The templates are cut down from those of
// model families to what tells them apart.
#include "text/chat_tools.h"

#include <CppUTest/TestHarness.h>

#include <map>

#include "chat_fixtures.h"

using namespace minnow::text;
using minnow::Code;
using minnow::text::test::Json;
using minnow::text::test::ReadText;

namespace {

const std::string kTold =
    "{% if tools %}# Tools{% for t in tools %}\n{{ t | tojson }}{% endfor %}{% endif %}";
const std::string kTurns =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or "
    "[] %}";
const std::string kEnd =
    "{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% "
    "endif %}";
const std::string kHermesCall =
    "<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | "
    "tojson }}}\n</tool_call>";

ToolUse Use(const std::string& source) {
  const auto chat = ChatTemplate::Compile(source);
  CHECK_OK(chat.status());
  return FindToolUse(*chat, {});
}

std::string Format(const ToolUse& use) {
  return std::string(use.told ? "told, " : "") +
         (use.calls ? ToolCallFormatName(*use.calls) : "own");
}

}  // namespace

TEST_GROUP(ChatTools){};

TEST(ChatTools, ATemplateIsAskedForTheFormOfItsCalls) {
  const std::map<std::string, std::string> calls = {
      {kHermesCall, "told, hermes"},
      {"{% if true %}<think>\n\n</think>\n\n{% endif %}" + kHermesCall, "told, hermes"},
      {R"({"name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }}})",
       "told, llama3"},
      {R"({"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}})",
       "told, json"},
      // Templates that refuse arguments that are no text.
      {R"({"name": "{{ c.function.name }}", "arguments": {{ '' + c.function.arguments }}})",
       "told, json"},
      // Like those that are known, but in lists, other markers or XML.
      {R"(<tool_call>[{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}]</tool_call>)",
       "told, own"},
      {R"(<|call|>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}})",
       "told, own"},
      {"<tool_call>\n<function={{ c.function.name }}>\n</function>\n</tool_call>", "told, own"},
      {"", "told, own"},
      {"{{ raise_exception('no calls') }}", "told, own"},
  };
  for (const auto& [call, expected] : calls) {
    STRCMP_EQUAL(expected.c_str(), Format(Use(kTold + kTurns + call + kEnd)).c_str());
  }
}

TEST(ChatTools, WithoutAPlaceForToolsCallsArePlainJson) {
  STRCMP_EQUAL("json", Format(Use(kTurns + kEnd)).c_str());
  STRCMP_EQUAL("json", Format(Use(kTurns + kHermesCall + kEnd)).c_str());
}

TEST(ChatTools, ATemplateThatFailsWithThemHasItsSayLater) {
  STRCMP_EQUAL("told, own", Format(Use("{{ raise_exception('no') }}")).c_str());
}

TEST(ChatTools, AreToldBeforeTheFirstUsersMessage) {
  ChatInput input;
  input.messages = Json::parse(R"([{"role": "system", "content": "Be brief."},
    {"role": "user", "content": [1]}, {"role": "user", "content": "Hi"},
    {"role": "user", "content": "Again"}])");
  input.tools =
      Json::parse(R"([{"type": "function", "function": {"name": "now"}}, {"name": "x"}])");
  CHECK_OK(TellOfTools(&input));
  CHECK(!input.tools);
  const std::string content = input.messages[2]["content"];
  STRCMP_CONTAINS("\n{\"name\":\"now\"}\n{\"name\":\"x\"}\n", content.c_str());
  STRCMP_CONTAINS("{\"name\": <its name>, \"arguments\": <its arguments>}", content.c_str());
  CHECK(content.ends_with("\n\nHi"));
  STRCMP_EQUAL("Again", input.messages[3]["content"].get<std::string>().c_str());
  input.messages = Json::parse(R"([{"role": "system", "content": "Be brief."}])");
  input.tools = Json::array();
  CHECK_ERROR(Code::kInvalid, "no user's message", TellOfTools(&input));
}

// What families of models write, by their own templates.
TEST(ChatTools, OfRealTemplatesAreFound) {
  const std::string folder = ::minnow::test::DataOrSkip("templates", "OfRealTemplatesAreFound");
  if (folder.empty()) return;
  const std::map<std::string, std::string> expected = {
      {"Qwen-Qwen2.5-7B-Instruct", "told, hermes"},
      {"Qwen-Qwen3-0.6B", "told, hermes"},
      {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "told, hermes"},
      {"ibm-granite-granite-4.1", "told, hermes"},
      {"MiMo-VL", "told, hermes"},
      {"meta-llama-Llama-3.1-8B-Instruct", "told, llama3"},
      {"meta-llama-Llama-3.2-3B-Instruct", "told, llama3"},
      {"meta-llama-Llama-3.3-70B-Instruct", "told, llama3"},
      {"Qwen3-Coder", "told, own"},
      {"Qwen3.5-4B", "told, own"},
      {"GLM-4.6", "told, own"},
      {"GigaChat3.1-10B-A1.8B", "told, own"},
      {"Mistral-Small-3.2-24B-Instruct-2506", "told, own"},
      {"NVIDIA-Nemotron-Nano-v2", "told, own"},
      {"google-gemma-2-2b-it", "json"},
      {"microsoft-Phi-3.5-mini-instruct", "json"},
      {"HuggingFaceTB-SmolLM3-3B", "json"},
  };
  for (const auto& [name, format] : expected) {
    const std::string found = Format(Use(ReadText(folder + "/" + name + ".jinja")));
    STRCMP_EQUAL((name + ": " + format).c_str(), (name + ": " + found).c_str());
  }
}
