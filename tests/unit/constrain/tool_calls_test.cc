#include "constrain/tool_calls.h"

#include <CppUTest/TestHarness.h>

#include <ctime>
#include <string>

#include "constrain/grammar_cache.h"
#include "test_util.h"

using namespace minnow;
using namespace minnow::constrain;
using text::ToolCallFormat;
using Json = nlohmann::ordered_json;

namespace {

Json Tools() {
  return Json::parse(R"([
    {"type": "function", "function": {"name": "weather", "description": "Now and here",
      "parameters": {"type": "object", "required": ["city"], "properties": {
        "city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["C", "F"]}}}}},
    {"type": "function", "function": {"name": "weather \"map\"", "parameters": {
      "properties": {"zoom": {"type": "integer", "minimum": 1, "maximum": 20}}}}},
    {"type": "function", "function": {"name": "now"}},
    {"type": "function", "function": {"name": "then", "parameters": {}}}
  ])");
}

bool Has(const Json& tools, const std::string& text, const char* format = "json",
         const char* choice = "required") {
  const auto constraint = ToolCallsConstraint(tools, choice, format);
  CHECK_OK(constraint.status());
  Terms terms;
  const auto calls = WriteConstraint(terms, *constraint);
  CHECK_OK(calls.status());
  CHECK_OK(terms.Seal());
  const Term rest = terms.Derive(*calls, text);
  CHECK_OK(terms.status());
  return terms.Nullable(rest);
}

Status Refusal(const std::string& tools, const char* choice = "required",
               const char* format = "auto") {
  const auto constraint = ToolCallsConstraint(Json::parse(tools), choice, format);
  if (!constraint.ok()) return constraint.status();
  Terms terms;
  return WriteConstraint(terms, *constraint).status();
}

std::string Marked(const std::string& call) { return "<tool_call>\n" + call + "\n</tool_call>"; }

const char* const kNow = R"({"name": "now", "arguments": {}})";

}  // namespace

TEST_GROUP(ToolCalls){};

TEST(ToolCalls, AreOneOfTheToolsWithItsOwnArguments) {
  const Json tools = Tools();
  CHECK(Has(tools, R"({"name": "weather", "arguments": {"city": "Köln", "unit": "C"}})"));
  CHECK(Has(tools, R"({"name": "weather", "arguments": {"city": ""}})"));
  CHECK(Has(tools, R"({"name": "weather \"map\"", "arguments": {"zoom": 3}})"));
  CHECK(Has(tools, kNow));
  CHECK(Has(tools, R"({"name": "then", "arguments": {}})"));
  for (const char* wrong : {
           R"({"name": "weather", "arguments": {"unit": "C"}})",
           R"({"name": "weather", "arguments": {"zoom": 3}})",
           R"({"name": "weather \"map\"", "arguments": {"zoom": 21}})",
           R"({"name": "now", "arguments": {"city": "x"}})",
           R"({"name": "then", "arguments": {"city": "x"}})",
           R"({"name": "rain", "arguments": {}})",
           R"({"name": "now"})",
           R"({"name": "now", "parameters": {}})",
           R"({"name": "now", "arguments": 3})",
           R"({"name": "now", "arguments": {}} )",
           "now",
           "",
       }) {
    if (Has(tools, wrong)) FAIL(wrong);
  }
}

TEST(ToolCalls, AreWrittenAsTheModelWasTaught) {
  const Json tools = Tools();
  CHECK(Has(tools, R"({"name": "now", "parameters": {}})", "llama3"));
  CHECK_FALSE(Has(tools, kNow, "llama3"));
  const std::string one = Marked(kNow);
  CHECK(Has(tools, one, "hermes"));
  CHECK(Has(tools, one + "\n" + one, "hermes"));
  CHECK_FALSE(Has(tools, one + one, "hermes"));
  CHECK_FALSE(Has(tools, one + "\n", "hermes"));
  CHECK_FALSE(Has(tools, kNow, "hermes"));
  std::string most = one;
  for (int i = 1; i < 16; ++i) most += "\n" + one;
  CHECK(Has(tools, most, "hermes"));
  CHECK_FALSE(Has(tools, most + "\n" + one, "hermes"));
}

TEST(ToolCalls, OfOneNameAreOneCallOfIt) {
  const Json tools = Tools();
  CHECK(Has(tools, kNow, "json", "now"));
  CHECK_FALSE(Has(tools, R"({"name": "then", "arguments": {}})", "json", "now"));
  CHECK(Has(tools, Marked(kNow), "hermes", "now"));
  CHECK_FALSE(Has(tools, Marked(kNow) + "\n" + Marked(kNow), "hermes", "now"));
}

TEST(ToolCalls, OfTheModelsChoiceAreCallsOrWordsButNeverAlmostCalls) {
  const Json tools = Tools();
  const std::string one = Marked(kNow);
  for (const char* format : {"json", "llama3", "hermes"}) {
    for (const char* words : {"", "It is 9 o'clock.", " \n\tKöln: {\"a\": 1} < 3", "<tool_", "[{}]",
                              "\xF0\x9F\x98\x80 </tool_call>"}) {
      CHECK_TEXT(Has(tools, words, format, "auto"), words);
    }
    for (const char* almost : {"{", "  {\"name\": \"rain\"", "{\"name\":\"now\"}", "a <tool_call>",
                               "<tool_call>\n{\"name\": \"rain\"", "\xC3", "\xED\xA0\x80"}) {
      CHECK_FALSE_TEXT(Has(tools, almost, format, "auto"), almost);
    }
  }
  CHECK(Has(tools, kNow, "json", "auto"));
  CHECK(Has(tools, std::string("\n ") + kNow, "json", "auto"));
  CHECK_FALSE(Has(tools, std::string("Now: ") + Marked(kNow), "json", "auto"));
  CHECK(Has(tools, one + "\n" + one, "hermes", "auto"));
  CHECK(Has(tools, "I look at the clock. <tool\n" + one, "hermes", "auto"));
  CHECK_FALSE(Has(tools, one + "\nand", "hermes", "auto"));
  CHECK_FALSE(Has(tools, kNow, "hermes", "auto"));
}

TEST(ToolCalls, AreReadAsTheyWereWritten) {
  const auto names = [](const std::string& answer) {
    const auto calls = CallsOf(answer);
    if (!calls.ok()) return "refused: " + calls.status().message();
    std::string out;
    for (const ToolCall& call : *calls) out += call.name + call.arguments.dump() + ";";
    return out;
  };
  STRCMP_EQUAL("now{};", names(kNow).c_str());
  STRCMP_EQUAL("f{\"z\":1,\"a\":[]};",
               names(R"({"name": "f", "parameters": {"z": 1, "a": []}})").c_str());
  const std::string tricky = R"({"name": "f", "arguments": {"s": "\n</tool_call>\n<tool_call>"}})";
  STRCMP_EQUAL(R"(f{"s":"\n</tool_call>\n<tool_call>"};now{};)",
               names("First this. " + Marked(tricky) + "\n" + Marked(kNow)).c_str());
  STRCMP_EQUAL("", names("").c_str());
  STRCMP_EQUAL("", names("It is {late}.").c_str());
  for (const char* cut : {"{\"name\": \"f\"", "{}", "<tool_call>", "<tool_call>\n{\"na",
                          R"({"name": 3, "arguments": {}})"}) {
    STRCMP_CONTAINS("refused", names(cut).c_str());
  }
}

TEST(ToolCalls, NameThePlaceOfWhatIsWrong) {
  const struct {
    const char *tools, *message;
  } cases[] = {
      {"{}", "tools are a list"},
      {"[]", "tools are a list"},
      {"[3]", "/0: a tool is"},
      {R"([{"type": "web_search"}])", "/0: a tool is"},
      {R"([{"name": "a", "parameters": {}}])", "/0: a tool is"},
      {R"([{"type": "function"}])", "/0/function: an object"},
      {R"([{"type": "function", "function": {"name": 3}}])", "/0/function/name"},
      {R"([{"type": "function", "function": {"name": ""}}])", "/0/function/name"},
      {R"([{"type": "function", "function": {"name": "a"}},
           {"type": "function", "function": {"name": "a"}}])",
       "/1/function/name: a tool before it is called \"a\" too"},
      {R"([{"type": "function", "function": {"name": "a", "parameters": []}}])",
       "/0/function/parameters: a JSON Schema"},
      {R"([{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}])",
       "/0/function/parameters/type: arguments are an object"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kInvalid, c.message, Refusal(c.tools));
  const Status schema = Refusal(R"([{"type": "function", "function": {"name": "a", "parameters":
      {"properties": {"b": {"type": "strange"}}}}}])");
  CHECK(!schema.ok());
  STRCMP_CONTAINS("/0/function/parameters/properties/b/type: ", schema.message().c_str());
}

TEST(ToolCalls, KnowTheirChoicesAndFormats) {
  const std::string tools = Tools().dump();
  CHECK_ERROR(Code::kInvalid, "the choice \"rain\" is no tool", Refusal(tools, "rain"));
  CHECK_ERROR(Code::kInvalid, "the choice \"\" is no tool", Refusal(tools, ""));
  CHECK_ERROR(Code::kInvalid, "there are auto, json, hermes and llama3",
              Refusal(tools, "auto", "xml"));
  const char* const ambiguous = R"([{"type": "function", "function": {"name": "auto"}}])";
  CHECK_ERROR(Code::kInvalid, "is a tool's name as well", Refusal(ambiguous, "auto"));
  CHECK_OK(Refusal(ambiguous, "required"));
}

TEST(ToolCalls, ManyAreQuickAndTooManyRefused) {
  Json tools = Json::array();
  for (int i = 0; i < 1000; ++i) {
    Json tool = Tools()[0];
    tool["function"]["name"] = fmt::format("weather_{}", i);
    tools.push_back(std::move(tool));
  }
  const std::clock_t start = std::clock();
  CHECK(Has(tools, R"({"name": "weather_999", "arguments": {"city": "Köln"}})"));
  CHECK(Has(tools, R"({"name": "weather_999", "arguments": {"city": "Köln"}})", "json", "auto"));
  CHECK(std::clock() - start < 2 * CLOCKS_PER_SEC);
  tools[0]["function"]["description"] = std::string(1 << 20, 'x');
  CHECK_ERROR(Code::kInvalid, "the tools are too long", Refusal(tools.dump()));
  tools[0]["function"].erase("description");
  tools.push_back(Tools()[2]);
  CHECK_ERROR(Code::kInvalid, "tools are a list of 1 to 1000", Refusal(tools.dump()));
}

// What no face lets in, but a message of an untrusted script's process may have.
TEST(ToolCalls, OfASourceThatIsNoneAreRefused) {
  for (const char* source : {"", "[]", "{}", "{\"tools\": 3}", "\xFF", "{\"tools\": []}"}) {
    Terms terms;
    CHECK(!WriteConstraint(terms, {Constraint::Kind::kToolCalls, source, ""}).ok());
  }
  Terms terms;
  const std::string deep(10'000, '[');
  CHECK_ERROR(Code::kInvalid, "nested deeper",
              WriteConstraint(terms, {Constraint::Kind::kToolCalls, deep, ""}).status());
}
