// extract over a model with random weights: whatever it says, the answer is a record of the schema,
// whole within max_tokens.
#include <nlohmann/json.hpp>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/extract.h"
#include "text/utf8.h"

using minnow::Code;
using minnow::engine::Extract;
using minnow::engine::ExtractRequest;
using minnow::engine::ExtractResult;
using minnow::test::Answer;
using minnow::test::CpuEngine;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using Json = nlohmann::ordered_json;

namespace {

size_t Characters(const std::string& text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

// What is wrong with the value, by the keywords that the tests use; "" if nothing is.
std::string Wrong(const Json& schema, const Json& value, const Json& root) {
  if (schema.contains("$ref")) {
    return Wrong(root.at(Json::json_pointer(schema["$ref"].get<std::string>().substr(1))), value,
                 root);
  }
  if (schema.contains("anyOf")) {
    for (const Json& part : schema["anyOf"]) {
      if (Wrong(part, value, root).empty()) return "";
    }
    return "is none of anyOf: " + value.dump();
  }
  if (schema.contains("enum") && std::ranges::find(schema["enum"], value) == schema["enum"].end())
    return "is not in the enum: " + value.dump();
  if (schema.contains("const") && schema["const"] != value) return "is not the const";
  const std::string type = schema.value("type", "");
  if (type == "object") {
    if (!value.is_object()) return "is no object";
    auto next = schema["properties"].begin();
    for (const auto& [name, member] : value.items()) {
      while (next != schema["properties"].end() && next.key() != name) ++next;
      if (next == schema["properties"].end()) return name + " is unknown, or out of order";
      if (std::string wrong = Wrong(next.value(), member, root); !wrong.empty())
        return name + ": " + wrong;
    }
    for (const Json& name : schema.value("required", Json::array())) {
      if (!value.contains(name.get<std::string>())) return name.dump() + " is missing";
    }
  } else if (type == "array") {
    if (!value.is_array()) return "is no list";
    if (value.size() < schema.value("minItems", 0u)) return "has too few items";
    if (value.size() > schema.value("maxItems", UINT32_MAX)) return "has too many items";
    for (const Json& item : value) {
      if (std::string wrong = Wrong(schema["items"], item, root); !wrong.empty()) return wrong;
    }
  } else if (type == "string") {
    if (!value.is_string()) return "is no string";
    const size_t n = Characters(value.get<std::string>());
    if (n < schema.value("minLength", 0u) || n > schema.value("maxLength", UINT32_MAX))
      return "is of another length: " + value.dump();
  } else if (type == "number" || type == "integer") {
    if (!value.is_number() || (type == "integer" && !value.is_number_integer()))
      return "is no " + type + ": " + value.dump();
    const double x = value.get<double>();
    if (x < schema.value("minimum", -1e300) || x > schema.value("maximum", 1e300))
      return "is out of range: " + value.dump();
  } else if (type == "boolean") {
    if (!value.is_boolean()) return "is neither true nor false";
  } else if (type == "null") {
    if (!value.is_null()) return "is not null";
  }
  return "";
}

constexpr const char* kSchemas[] = {
    R"({"type":"object","properties":{"zeta":{"type":"string","maxLength":12},
        "alpha":{"type":"integer","minimum":-5,"maximum":120},"kind":{"enum":["a","bb",null,7]},
        "ok":{"type":"boolean"},"list":{"type":"array","items":{"type":"number","minimum":0,
        "maximum":99.5},"minItems":1,"maxItems":3},"gone":{"type":"null"}},
        "required":["zeta","alpha","kind","ok"],"additionalProperties":false})",
    R"({"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{
        "v":{"type":"string","minLength":1,"maxLength":4},
        "in":{"type":"array","items":{"$ref":"#/$defs/tree"},"maxItems":2}},
        "required":["v","in"],"additionalProperties":false}}})",
    R"({"anyOf":[{"type":"null"},{"type":"array","items":{"anyOf":[{"type":"string","maxLength":9},
        {"type":"integer"}]}}]})"};

}  // namespace

TEST_GROUP(ExtractAnswer) {
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"))};

  ExtractRequest Request(const char* schema, uint64_t seed, float temperature) {
    ExtractRequest request;
    request.prompt = {0, 40, 50, 60, 70, 80};
    request.schema = schema;
    request.max_tokens = 150;
    request.sampling.temperature = temperature;
    request.sampling.seed = seed;
    return request;
  }

  ExtractResult Run(ExtractRequest request) {
    Answer<ExtractResult> answer;
    request.on_done = [&](ExtractResult r) { answer.Set(std::move(r)); };
    const auto id = Extract(cpu.engine(), std::move(request));
    CHECK_OK(id.status());
    CHECK_OK(answer.Wait().status);
    return answer.Wait();
  }
};

TEST(ExtractAnswer, IsARecordOfTheSchemaWhateverTheModelSays) {
  for (const char* schema : kSchemas) {
    const Json parsed = Json::parse(schema);
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const ExtractRequest request = Request(schema, seed, seed % 5 == 0 ? 0 : 1.5f);
      const ExtractResult result = Run(request);
      CHECK(result.usage.completion_tokens <= request.max_tokens);
      const Json value = Json::parse(result.json, nullptr, false);
      CHECK_TEXT(!value.is_discarded(), result.json.c_str());
      const std::string wrong = Wrong(parsed, value, parsed);
      CHECK_TEXT(wrong.empty(), (wrong + " in " + result.json).c_str());
      for (const auto& field : result.fields) {
        CHECK(field.confidence > 0 && field.confidence <= 1);
        CHECK(value.contains(Json::json_pointer(field.pointer)));
      }
    }
  }
}

TEST(ExtractAnswer, EndsInTimeHoweverFewTokensThereAre) {
  for (const char* schema : kSchemas) {
    const Json parsed = Json::parse(schema);
    size_t answered = 0;
    for (uint32_t max_tokens = 1; max_tokens < 60; max_tokens += 3) {
      ExtractRequest request = Request(schema, max_tokens, 2);
      request.max_tokens = max_tokens;
      minnow::engine::GenerateRequest check;
      check.constraint = *minnow::engine::SchemaConstraint(schema, "");
      check.max_tokens = max_tokens;
      const minnow::Status status = cpu.engine().CheckConstraint(check);
      if (!status.ok()) {
        CHECK_ERROR(Code::kInvalid, "the shortest answer", status);
        continue;
      }
      ++answered;
      const ExtractResult result = Run(request);
      CHECK(result.usage.completion_tokens <= max_tokens);
      const std::string wrong = Wrong(parsed, Json::parse(result.json), parsed);
      CHECK_TEXT(wrong.empty(), (wrong + " in " + result.json).c_str());
    }
    CHECK(answered > 0);
  }
}

TEST(ExtractAnswer, CopiesWhatTheSchemaWantsFromTheDocument) {
  const std::string document = "Green Bridge Plastics\nTotal  12.50 \xe2\x82\xac\nThank you";
  const char* schema = R"({"type":"object","properties":{
      "who":{"type":"string","x-from-source":true},"free":{"type":"string","maxLength":5}},
      "required":["who","free"],"additionalProperties":false})";
  for (uint64_t seed = 0; seed < 50; ++seed) {
    ExtractRequest request = Request(schema, seed, seed % 5 == 0 ? 0 : 2);
    request.document = document;
    const ExtractResult result = Run(request);
    const std::string who = Json::parse(result.json)["who"].get<std::string>();
    CHECK(!result.fields[0].spans.empty());
    for (const auto& span : result.fields[0].spans)
      STRCMP_EQUAL(who.c_str(), document.substr(span.begin, span.end - span.begin).c_str());
    CHECK(result.fields[1].spans.empty());
  }
}

TEST(ExtractAnswer, IsRefusedByThePlaceInTheSchema) {
  ExtractRequest request = Request(R"({"properties":{"a":{"type":"nothing"}}})", 0, 0);
  request.on_done = [](ExtractResult) { FAIL("on_done of a refused request"); };
  const auto id = Extract(cpu.engine(), request);
  CHECK_FALSE(id.ok());
  STRCMP_CONTAINS("/properties/a/type", id.status().message().c_str());
}

TEST(ExtractAnswer, ThatIsCancelledSaysSo) {
  Answer<ExtractResult> answer;
  ExtractRequest request =
      Request(R"({"type":"array","items":{"type":"integer"},"minItems":400})", 0, 0);
  request.max_tokens = 1200;
  request.on_done = [&](ExtractResult r) { answer.Set(std::move(r)); };
  const auto id = Extract(cpu.engine(), request);
  CHECK_OK(id.status());
  cpu.engine().Cancel(*id);
  CHECK_ERROR(Code::kCancelled, "cancelled", answer.Wait().status);
}
