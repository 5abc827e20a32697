// Calls of tools of models whose templates write them in different ways, and of a model that knows
// nothing of it: the form holds whatever it says.
#include "constrain/tool_calls.h"

#include <nlohmann/json.hpp>

#include "build_tree.h"
#include "engine/answer.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "text/chat_template.h"

using minnow::Code;
using minnow::Status;
using minnow::constrain::CallsOf;
using minnow::constrain::ToolCallsConstraint;
using minnow::engine::FinishReason;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::test::Ask;
using minnow::test::CpuEngine;
using minnow::test::LoadModel;
using Json = nlohmann::ordered_json;

namespace {

const char* const kTurns =
    "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}CALL{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}";
const char* const kHermes =
    "<tool_call>\n{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | "
    "tojson }}}\n</tool_call>";
const char* const kLlama3 =
    "{\"name\": \"{{ c.function.name }}\", \"parameters\": {{ c.function.arguments | tojson }}}";

// The demo model, but with such calls in its template, and perhaps another first (control) token.
std::shared_ptr<const minnow::model::Model> WriteDemo(const std::string& path,
                                                      const std::string& call,
                                                      const std::string& first_token) {
  auto reader =
      minnow::formats::GgufReader::Open(minnow::test::InSource("models/minnow-demo.Q8_0.gguf"));
  CHECK_OK(reader.status());
  minnow::formats::GgufWriter writer;
  for (const auto& entry : reader->metadata()) writer.Set(entry);
  std::string chat = kTurns;
  chat.replace(chat.find("CALL"), 4, call);
  writer.SetString("tokenizer.chat_template", chat);
  if (!first_token.empty()) {
    const auto views = reader->FindStrings("tokenizer.ggml.tokens");
    std::vector<std::string> tokens((*views)->begin(), (*views)->end());
    tokens[0] = first_token;
    writer.SetStrings("tokenizer.ggml.tokens", tokens);
  }
  for (const auto& t : reader->tensors()) {
    writer.AddTensor(t.name, t.type, {t.ne.begin(), t.ne.begin() + t.n_dims}, t.data);
  }
  CHECK_OK(writer.Write(path));
  return LoadModel(path);
}

struct DemoWriting {
  explicit DemoWriting(const std::string& call, const std::string& first_token = "")
      : cpu(WriteDemo(folder / "m.gguf", call, first_token)) {}

  const minnow::test::TempDir folder;  // it reads from there
  CpuEngine cpu;
};

Json Tools() {
  return Json::parse(R"([{"type": "function", "function": {"name": "weather", "parameters": {
      "type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "maxLength": 10}, "days": {"type": "integer", "minimum": 1}}}}},
    {"type": "function", "function": {"name": "now"}}])");
}

GenerateRequest Request(const minnow::model::Model& model, const char* choice,
                        const char* format = "auto", uint64_t seed = 0) {
  minnow::text::ChatInput input;
  input.messages = Json::parse(R"([{"role": "user", "content": "How warm is it?"}])");
  input.tools = Tools();
  auto prompt = model.EncodeChat(input);
  CHECK_OK(prompt.status());
  GenerateRequest request;
  request.prompt = *std::move(prompt);
  request.max_tokens = 80;
  request.sampling.temperature = 1.5f;
  request.sampling.seed = seed;
  auto constraint = ToolCallsConstraint(Tools(), choice, format);
  CHECK_OK(constraint.status());
  request.constraint = *std::move(constraint);
  return request;
}

Status Refusal(CpuEngine& cpu, GenerateRequest request) {
  request.on_done = [](GenerateResult) { FAIL("on_done of a refused request"); };
  CHECK(!cpu.engine().CheckConstraint(request).ok());
  return cpu.engine().Generate(std::move(request)).status();
}

// Of ten answers, each a call or more.
void CheckCalls(CpuEngine& cpu, const char* begin, const char* choice,
                const char* format = "auto") {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const GenerateResult result =
        Ask(cpu.engine(), Request(cpu.engine().model(), choice, format, seed)).Wait();
    CHECK_OK(result.status);
    CHECK(result.finish_reason == FinishReason::kStop);
    CHECK_TEXT(result.text.starts_with(begin), result.text.c_str());
    const auto calls = CallsOf(result.text);
    CHECK_OK(calls.status());
    CHECK(!calls->empty());
    for (const auto& call : *calls) {
      CHECK(call.name == "now" ? call.arguments.empty() : call.arguments.contains("city"));
      if (std::string(choice) == "now") STRCMP_EQUAL("now", call.name.c_str());
    }
  }
}

}  // namespace

TEST_GROUP(AnswerOfToolCalls){};

TEST(AnswerOfToolCalls, AreWrittenAsTheModelsTemplateWritesThem) {
  CpuEngine plain{LoadModel(minnow::test::InSource("models/minnow-demo.Q8_0.gguf"))};
  CheckCalls(plain, "{\"name\": \"", "required");
  CheckCalls(plain, "{\"name\": \"now\", \"arguments\": {}}", "now");
  CheckCalls(plain, "<tool_call>\n{\"name\": \"", "required", "hermes");
}

TEST(AnswerOfToolCalls, OfTemplatesWithMarkersHaveThem) {
  DemoWriting demo(kHermes);
  CpuEngine& cpu = demo.cpu;
  CheckCalls(cpu, "<tool_call>\n{\"name\": \"", "required");
  CheckCalls(cpu, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", "now");
  CheckCalls(cpu, "{\"name\": \"", "required", "json");
}

TEST(AnswerOfToolCalls, AreNeverOfAFormThatIsNotKnown) {
  DemoWriting demo("[CALL]{{ c.function.name }}");
  CpuEngine& cpu = demo.cpu;
  CHECK_ERROR(Code::kUnsupported, "in a form of its own; say",
              Refusal(cpu, Request(cpu.engine().model(), "required")));
  CheckCalls(cpu, "{\"name\": \"", "required", "llama3");
}

TEST(AnswerOfToolCalls, BehindAMarkerThatIsAControlTokenAreOneCall) {
  DemoWriting demo(kHermes, "<tool_call>");
  CpuEngine& cpu = demo.cpu;
  CheckCalls(cpu, "{\"name\": \"", "required");
  GenerateRequest request = Request(cpu.engine().model(), "required");
  const auto n_prompt = static_cast<uint32_t>(request.prompt.size());
  const GenerateResult result = Ask(cpu.engine(), request).Wait();
  CHECK(result.usage.prompt_tokens > n_prompt);  // the marker, and a line break
  CHECK(result.usage.prompt_tokens + 80 >= n_prompt + result.usage.completion_tokens);
  CHECK_ERROR(Code::kUnsupported, "cannot be left to it",
              Refusal(cpu, Request(cpu.engine().model(), "auto")));
  CheckCalls(cpu, "{\"name\": \"", "required", "json");
  request.max_tokens = 1;
  CHECK_ERROR(Code::kInvalid, "tool_calls: max_tokens is", Refusal(cpu, request));
}

TEST(AnswerOfToolCalls, OfTheModelsChoiceAreCallsOrWords) {
  DemoWriting demo(kLlama3);
  CpuEngine& cpu = demo.cpu;
  size_t n_words = 0, n_cut = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    GenerateRequest request = Request(cpu.engine().model(), "auto", "auto", seed);
    request.sampling.temperature = 3;
    request.max_tokens = seed % 2 ? 40 : 3;
    const GenerateResult result = Ask(cpu.engine(), request).Wait();
    CHECK_OK(result.status);
    const auto calls = CallsOf(result.text);
    CHECK_OK(calls.status());
    const bool words = calls->empty();
    n_words += words;
    const bool cut = result.finish_reason == FinishReason::kLength;
    n_cut += cut;
    if (!words) CHECK(result.finish_reason == FinishReason::kStop);
    if (cut) LONGS_EQUAL(request.max_tokens, result.tokens.size());
  }
  CHECK(n_words > 0);
  CHECK(n_cut > 0);  // which calls never are
}

TEST(AnswerOfToolCalls, WhatIsWrongWithThemIsSaidByPlace) {
  DemoWriting demo(kLlama3);
  CpuEngine& cpu = demo.cpu;
  GenerateRequest request = Request(cpu.engine().model(), "required");
  Json tools = Tools();
  tools[0]["function"]["parameters"]["properties"]["city"]["pattern"] = "(";
  request.constraint = *ToolCallsConstraint(tools, "required", "auto");
  CHECK_ERROR(Code::kInvalid, "tool_calls: /0/function/parameters/properties/city/pattern: ",
              Refusal(cpu, request));
}
