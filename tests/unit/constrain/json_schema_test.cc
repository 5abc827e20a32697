#include "constrain/json_schema.h"

#include <chrono>
#include <functional>

#include "base/json.h"
#include "constrain/json_text.h"
#include "test_util.h"

namespace minnow::constrain {
namespace {

using Json = nlohmann::ordered_json;

// A schema and whether documents obey it, written as they stand.
class Schema {
 public:
  explicit Schema(const std::string& text, const JsonSchemaOptions& options = {}) {
    const Result<Json> json = ParseJson(text);
    CHECK_OK(json.status());
    const Result<Term> root = CompileJsonSchema(terms_, *json, options, &report_);
    status_ = root.status();
    if (!root.ok()) return;
    root_ = *root;
    CHECK_OK(terms_.Seal());
  }
  bool operator()(std::string_view document) {
    CHECK_OK(status_);
    const Term end = terms_.Derive(root_, document);
    return end != kNever && terms_.Nullable(end);
  }
  const Status& status() const { return status_; }
  const JsonSchemaReport& report() const { return report_; }
  Terms& terms() { return terms_; }

 private:
  Terms terms_;
  JsonSchemaReport report_;
  Status status_;
  Term root_ = kNever;
};

Status Refusal(const std::string& schema) { return Schema(schema).status(); }

std::string Times(size_t n, const std::string& text) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

}  // namespace

TEST_GROUP(JsonText){};

TEST(JsonText, EachCharacterHasOneSpelling) {
  STRCMP_EQUAL(R"("a\"\\\b\f\n\r\t\u0001\u001f/é€😀")",
               JsonQuote("a\"\\\b\f\n\r\t\x01\x1f/é€😀").c_str());
  Terms terms;
  const Term any = JsonString(terms, terms.Repeat(JsonAnyChar(terms), 0, kUnbounded));
  CHECK_OK(terms.Seal());
  const auto has = [&](std::string_view text) { return terms.Nullable(terms.Derive(any, text)); };
  for (char32_t c = 0; c < 0x800; ++c) {
    std::string utf8;
    if (c < 0x80) {
      utf8 += static_cast<char>(c);
    } else {
      utf8 += static_cast<char>(0xC0 | c >> 6);
      utf8 += static_cast<char>(0x80 | (c & 63));
    }
    CHECK_TRUE(has(JsonQuote(utf8)));
  }
  CHECK_FALSE(has(R"("\/")"));
  CHECK_FALSE(has(R"("\u0041")"));
  CHECK_FALSE(has(R"("\u000a")"));
  CHECK_FALSE(has(R"("\u001F")"));
  CHECK_FALSE(has("\"\xff\""));
  CHECK_FALSE(has("\"\xed\xa0\x80\""));  // a surrogate
}

TEST_GROUP(JsonSchema){};

TEST(JsonSchema, PropertiesStandInTheOrderOfTheSchema) {
  Schema s(R"({"type":"object","properties":{"b":{"type":"integer"},"a":{"type":"string"},
                "c":{"type":"boolean"}},"required":["z","b"]})");
  CHECK_TRUE(s(R"({"b": 1, "a": "x", "c": true, "z": null})"));
  CHECK_TRUE(s(R"({"b": 1, "z": [{"k": 1}]})"));
  CHECK_FALSE(s(R"({"a": "x", "b": 1, "z": 0})"));
  CHECK_FALSE(s(R"({"b": 1})"));
  CHECK_FALSE(s(R"({"b":1,"z":0})"));
}

TEST(JsonSchema, ObjectsWithPropertiesAreClosedUnlessTheOptionsOrTheSchemaOpenThem) {
  const std::string schema = R"({"type":"object","properties":{"a":{"type":"integer"}}})";
  JsonSchemaOptions open;
  open.open_objects = true;
  CHECK_FALSE(Schema(schema)(R"({"a": 1, "b": 2})"));
  CHECK_TRUE(Schema(schema, open)(R"({"a": 1, "b": 2})"));
  CHECK_FALSE(Schema(schema, open)(R"({"a": 1, "a": "x"})"));
  Schema more(
      R"({"properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}})");
  CHECK_TRUE(more(R"({"b": "x"})"));
  CHECK_FALSE(more(R"({"b": 2})"));
  CHECK_TRUE(Schema(R"({"type":"object"})")(R"({"any": [1]})"));
  CHECK_FALSE(Schema(R"({"type":"object","properties":{}})")(R"({"any": 1})"));
}

TEST(JsonSchema, SpaceIsSingleCompactOrFlexible) {
  const std::string schema =
      R"({"type":"object","properties":{"a":{"const":[1,{"k":2}]},"b":{"type":"array","items":{"type":"null"}}}})";
  CHECK_TRUE(Schema(schema)(R"({"a": [1, {"k": 2}], "b": [null, null]})"));
  JsonSchemaOptions options;
  options.space = JsonSchemaOptions::Space::kCompact;
  CHECK_TRUE(Schema(schema, options)(R"({"a":[1,{"k":2}],"b":[null,null]})"));
  options.space = JsonSchemaOptions::Space::kFlexible;
  Schema flexible(schema, options);
  CHECK_TRUE(flexible(R"({"a":[1,{"k":2}],"b":[null,null]})"));
  CHECK_TRUE(flexible("{\n  \"a\" : [ 1 , {\"k\": 2 } ] ,\n\t\"b\": [ ]\n}"));
  CHECK_FALSE(flexible("{\n\n\"b\": []}"));
}

TEST(JsonSchema, NumbersAreHeldToTheirRangesDigitByDigit) {
  struct Case {
    const char* schema;
    std::vector<const char*> in, out;
  };
  const std::vector<Case> cases = {
      {R"({"type":"integer","minimum":-17,"maximum":205})",
       {"-17", "-9", "0", "7", "99", "100", "199", "205"},
       {"-18", "206", "300", "1000", "-0", "007", "1.0", "1e2"}},
      {R"({"type":"number","minimum":0.1,"exclusiveMaximum":0.3})",
       {"0.1", "0.10", "0.299999999999999", "0.2"},
       {"0.09", "0.3", "0.30", "0", "1", "0.099999999999999"}},
      {R"({"type":"number","exclusiveMinimum":-1.5,"maximum":2.25})",
       {"-1.4", "-1.49999", "0", "0.0", "2.25", "2.250", "2", "-1"},
       {"-1.5", "-1.50", "-2", "2.26", "2.2500001", "-0.0"}},
      {R"({"type":"number","multipleOf":0.01})",
       {"0", "12.34", "12.3", "0.01", "-7.5"},
       {"12.345", "0.001"}},
      {R"({"type":"number","multipleOf":0.1})", {"0.3", "1.1", "4.7", "1e15"}, {"0.35"}},
      {R"({"type":"integer","multipleOf":7,"minimum":100})", {"105", "700"}, {"98", "106"}},
      {R"({"type":"integer","not":{"multipleOf":7},"maximum":50})", {"1", "50"}, {"7", "49", "0"}},
      {R"({"type":"number","not":{"type":"integer"}})", {"0.5", "-1.25"}, {"1", "1.0", "0"}},
      {R"({"type":"integer","minimum":12345678901234567890})", {"12345678901234567890"}, {"9"}},
  };
  for (const Case& c : cases) {
    Schema s(c.schema);
    for (const char* text : c.in) {
      if (std::string_view(text) == "1e15") continue;
      CHECK_TEXT(s(text), fmt::format("{} is of {}", text, c.schema).c_str());
    }
    for (const char* text : c.out) {
      CHECK_TEXT(!s(text), fmt::format("{} is not of {}", text, c.schema).c_str());
    }
  }
}

// Against sums: every number of four digits, and every bound of a few.
TEST(JsonSchema, AnIntegerIsInItsRangeOrNot) {
  for (const auto& [low, high] : {std::pair(-120, 999), std::pair(7, 7), std::pair(-5, -5),
                                  std::pair(95, 1050), std::pair(0, 10), std::pair(-1001, -99)}) {
    Schema s(fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high));
    for (int n = -1200; n <= 1200; ++n) {
      CHECK_TEXT(s(std::to_string(n)) == (n >= low && n <= high),
                 fmt::format("{} in {}..{}", n, low, high).c_str());
    }
  }
}

TEST(JsonSchema, StringsAreCountedInCodePoints) {
  Schema s(R"({"type":"string","minLength":2,"maxLength":3,"pattern":"^[^x]*$"})");
  CHECK_TRUE(s(R"("é€")"));
  CHECK_TRUE(s(R"("\n\"😀")"));
  CHECK_FALSE(s(R"("😀")"));
  CHECK_FALSE(s(R"("abcd")"));
  CHECK_FALSE(s(R"("ax")"));
}

TEST(JsonSchema, FormatsAreEnforcedOrSaidNotToBe) {
  for (const char* format : {"date", "time", "date-time", "duration", "email", "uri", "uuid",
                             "ipv4", "ipv6", "hostname"}) {
    Schema s(fmt::format(R"({{"type":"string","format":"{}"}})", format));
    CHECK_FALSE(s(R"("not one of them!")"));
  }
  CHECK_TRUE(Schema(R"({"format":"date","type":"string"})")(R"("2024-02-29")"));
  CHECK_FALSE(Schema(R"({"format":"date","type":"string"})")(R"("1900-02-29")"));
  Schema unknown(R"({"type":"string","format":"iban"})");
  CHECK_TRUE(unknown(R"("anything")"));
  CHECK_TRUE(unknown.report().back().kind == JsonSchemaNote::Kind::kNotEnforced);
  STRCMP_EQUAL("/format", unknown.report().back().pointer.c_str());
}

TEST(JsonSchema, AReferenceMayLeadBackToItself) {
  Schema s(R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{
              "v":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/node"}}},
              "required":["v","children"]}}})");
  CHECK_TRUE(s(R"({"v": 1, "children": [{"v": 2, "children": []}, {"v": 3, "children": []}]})"));
  CHECK_FALSE(s(R"({"v": 1, "children": [{"v": 2}]})"));
}

TEST(JsonSchema, AlternativesAreMergedWithWhatStandsBesideThem) {
  Schema s(R"({"type":"object","properties":{"kind":{"type":"string"}},"required":["kind"],
    "oneOf":[{"properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["lives"]},
             {"properties":{"kind":{"const":"dog"},"name":{"type":"string"}},"required":["name"]}]})");
  CHECK_TRUE(s(R"({"kind": "cat", "lives": 9})"));
  CHECK_TRUE(s(R"({"kind": "dog", "name": "Rex"})"));
  CHECK_FALSE(s(R"({"kind": "dog", "lives": 9})"));
  CHECK_FALSE(s(R"({"kind": "cow", "name": "x"})"));
  Schema merged(R"({"allOf":[{"type":"integer","minimum":3},{"maximum":5}],"not":{"const":4}})");
  CHECK_TRUE(merged("3"));
  CHECK_FALSE(merged("4"));
  CHECK_FALSE(merged("6"));
}

TEST(JsonSchema, EnumsOfThousandsOfStringsAreCheap) {
  Json schema = {{"enum", Json::array()}};
  for (int i = 0; i < 20'000; ++i) schema["enum"].push_back(fmt::format("label {}", i));
  Schema s(schema.dump());
  CHECK_TRUE(s(R"("label 19999")"));
  CHECK_FALSE(s(R"("label 20000")"));
  CHECK_TRUE(s.terms().size() < 100'000);
}

// 16 times the properties are 16 times the terms.
TEST(JsonSchema, OptionalPropertiesCostNoMoreThanTheirNumber) {
  const auto terms = [](int n) {
    Json schema = {{"type", "object"}, {"properties", Json::object()}};
    for (int i = 0; i < n; ++i) {
      schema["properties"][fmt::format("p{:04}", i)] = {{"type", "integer"}};
    }
    Schema s(schema.dump());
    CHECK_TRUE(s(fmt::format(R"({{"p0001": 1, "p{:04}": 2}})", n - 1)));
    CHECK_FALSE(s(fmt::format(R"({{"p{:04}": 1, "p0001": 2}})", n - 1)));
    return s.terms().size();
  };
  const size_t few = terms(50), many = terms(800);
  CHECK_TEXT(many < 20 * few, fmt::format("{} terms, then {}", few, many).c_str());
}

TEST(JsonSchema, RefusalsNameTheKeyword) {
  CHECK_ERROR(Code::kInvalid, "#/properties/a/minimun: is no keyword",
              Refusal(R"({"properties":{"a":{"minimun":3}}})"));
  CHECK_ERROR(Code::kInvalid, "#/properties/a~1b/minimum: must be a number",
              Refusal(R"({"properties":{"a/b":{"minimum":"3"}}})"));
  CHECK_ERROR(Code::kInvalid, "#/uniqueItems:", Refusal(R"({"type":"array","uniqueItems":true})"));
  CHECK_ERROR(Code::kInvalid, "#/$ref: 'https://example.org/s' is not in this document",
              Refusal(R"({"$ref":"https://example.org/s"})"));
  CHECK_ERROR(Code::kInvalid, "#/pattern: ", Refusal(R"({"pattern":"(a"})"));
  CHECK_ERROR(Code::kInvalid, "#/items: must be a schema; a list is prefixItems",
              Refusal(R"({"items":[{}]})"));
  CHECK_ERROR(Code::kInvalid, "(and 1 more)", Refusal(R"({"minimum":"a","maximum":"b"})"));
  CHECK_ERROR(Code::kInvalid, "#/nullable: is no keyword of 2020-12; add \"null\" to type",
              Refusal(R"({"type":"string","nullable":true})"));
}

TEST(JsonSchema, ContradictionsAreRefusedByTheirPlace) {
  CHECK_ERROR(
      Code::kInvalid, "#/properties/a/maximum: no number is left",
      Refusal(R"({"type":"object","properties":{"a":{"type":"integer","minimum":5,"maximum":4}},
                         "required":["a"]})"));
  CHECK_ERROR(Code::kInvalid, "#/enum: no value of const and enum is left",
              Refusal(R"({"type":"string","enum":[1,2]})"));
  CHECK_ERROR(Code::kInvalid, "no string is left",
              Refusal(R"({"type":"string","minLength":3,"maxLength":2})"));
  CHECK_ERROR(Code::kInvalid, "/type: no type is left",
              Refusal(R"({"allOf":[{"type":"string"}],"type":"null"})"));
}

TEST(JsonSchema, HostileSchemasEndInANamedError) {
  CHECK_ERROR(Code::kInvalid, "refers to itself without a value between",
              Refusal(R"({"$ref":"#"})"));
  CHECK_ERROR(Code::kInvalid, "refers to itself without a value between",
              Refusal(R"({"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},
                         "b":{"allOf":[{"$ref":"#/$defs/a"}]}}})"));
  CHECK_ERROR(Code::kInvalid, "refers to itself", Refusal(R"({"not":{"$ref":"#"}})"));
  // As a library caller can hand it over; the text of it is refused by its depth.
  Json deep = true;
  for (int i = 0; i < 10'000; ++i) {
    Json outer = Json::object();
    outer["items"] = std::move(deep);
    deep = std::move(outer);
  }
  Terms terms;
  CHECK_ERROR(Code::kInvalid, "nests deeper than", CompileJsonSchema(terms, deep).status());
  // A chain of references, each through a property.
  Json chain = {{"$ref", "#/$defs/d0"}, {"$defs", Json::object()}};
  for (int i = 0; i < 5000; ++i) {
    chain["$defs"][fmt::format("d{}", i)] = {
        {"properties", {{"p", {{"$ref", fmt::format("#/$defs/d{}", i + 1)}}}}}};
  }
  chain["$defs"]["d5000"] = true;
  Terms more;
  CHECK_ERROR(Code::kInvalid, "nest deeper than", CompileJsonSchema(more, chain).status());
  // Alternatives multiply.
  std::string choice = R"({"anyOf":[{"required":["a"]},{"required":["b"]},{"minProperties":1}]})";
  CHECK_ERROR(Code::kInvalid, "too many ways",
              Refusal(R"({"allOf":[)" + choice + Times(40, "," + choice) + "]}"));
}

TEST(JsonSchema, WhatIsNoSchemaIsRefused) {
  for (const char* text : {"3",
                           "null",
                           "\"x\"",
                           "[]",
                           R"({"type":3})",
                           R"({"type":"strnig"})",
                           R"({"enum":3})",
                           R"({"required":"a"})",
                           R"({"properties":[]})",
                           R"({"anyOf":[]})",
                           R"({"allOf":{}})",
                           R"({"maxLength":-1})",
                           R"({"minItems":1.5})",
                           R"({"maxItems":1e30})",
                           R"({"multipleOf":0})",
                           R"({"$ref":3})",
                           R"({"$ref":"#/$defs/none"})",
                           R"({"$ref":"#x"})",
                           R"({"format":1})",
                           R"({"pattern":3})",
                           R"({"uniqueItems":1})",
                           R"({"items":3})",
                           R"({"dependentRequired":{"a":1}})",
                           R"({"$schema":"http://example.org/"})"}) {
    const Status status = Refusal(text);
    CHECK_TEXT(!status.ok() && status.message().find('#') != std::string::npos, text);
  }
}

TEST(JsonSchema, ValuesMayBeCopiedFromADocument) {
  const std::string document = "ACME \"Ltd\", 12.50 paid\nin Berlin";
  const auto accepts = [&](const char* schema_text, std::string_view answer) {
    Terms terms;
    JsonSchemaOptions options;
    options.document = &document;
    const Result<Json> schema = ParseJson(schema_text);
    const Result<Term> root = CompileJsonSchema(terms, *schema, options);
    CHECK_OK(root.status());
    CHECK_OK(terms.Seal());
    return terms.Nullable(terms.Derive(*root, answer));
  };
  constexpr char kText[] = R"({"type":"string","x-from-source":true,"maxLength":11})";
  CHECK_TRUE(accepts(kText, R"("ACME")"));
  CHECK_TRUE(accepts(kText, R"("ACME \"Ltd\"")"));
  CHECK_FALSE(accepts(kText, R"("ACME \"Ltd\", 12")"));  // too long
  CHECK_FALSE(accepts(kText, R"("ACMA")"));
  CHECK_FALSE(accepts(kText, "null"));
  CHECK_TRUE(accepts(R"({"x-from-source":true})", "null"));
  CHECK_FALSE(accepts(R"({"x-from-source":true})", "true"));
  CHECK_TRUE(accepts(R"({"type":"number","x-from-source":true})", "12.50"));
  CHECK_FALSE(accepts(R"({"type":"number","x-from-source":true})", "2.5"));
  CHECK_TRUE(
      accepts(R"({"type":"string","x-from-source":true,"pattern":"^[a-z]+$"})", R"("paid")"));
  CHECK_FALSE(
      accepts(R"({"type":"string","x-from-source":true,"pattern":"^[a-z]+$"})", R"("ACME")"));
  CHECK_FALSE(accepts(R"({"type":"string","x-from-source":true})", R"("paid in")"));
  CHECK_TRUE(
      accepts(R"({"type":"string","x-from-source":true,"x-fuzzy-space":true})", R"("paid in")"));
  CHECK_ERROR(Code::kInvalid, "#/x-from-source: there is no document",
              Refusal(R"({"type":"string","x-from-source":true})"));
}

}  // namespace minnow::constrain
