// extract: what the values of an answer stand on, and what a schema becomes on the way.
#include "engine/extract.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "build_tree.h"
#include "engine/answer.h"

using minnow::Code;
using minnow::engine::AnswerPiece;
using minnow::engine::ExtractedField;
using minnow::engine::ExtractInstruction;
using minnow::engine::FieldsOf;
using minnow::engine::GroundStrings;
using minnow::engine::SchemaConstraint;
using Json = nlohmann::ordered_json;

TEST_GROUP(ExtractFields){std::vector<ExtractedField> Fields(std::string_view json,
                                                             const char* schema = "{}",
                                                             std::string_view document = "",
                                                             std::vector<AnswerPiece> pieces = {}){
    auto fields = FieldsOf(json, pieces, Json::parse(schema), document);
CHECK_OK(fields.status());
return *std::move(fields);
}

std::string Pointers(std::string_view json) {
  std::string all;
  for (const ExtractedField& field : Fields(json)) all += field.pointer + " ";
  return all;
}

// Of the only value: "begin-end@line ...".
std::string Spans(const char* json, const char* schema, std::string_view document) {
  std::string all;
  const auto fields = Fields(json, schema, document);
  for (const auto& s : fields.back().spans) all += fmt::format("{}-{}@{} ", s.begin, s.end, s.line);
  return all;
}

std::string Sketch(const char* schema) {
  const auto text = ExtractInstruction(schema);
  CHECK_OK(text.status());
  return text->substr(text->find('\n') + 1);
}
}
;

TEST(ExtractFields, AreTheValuesThatHaveNoOthersInThem) {
  STRCMP_EQUAL("/a /b/0 /b/1/c /b/2 /d /e /f ",
               Pointers(R"({"a":"x","b":[1,{"c":null},true],"d":{},"e":[],"f":-1.5e3})").c_str());
  STRCMP_EQUAL(" ", Pointers("12").c_str());
  STRCMP_EQUAL(" ", Pointers(R"("a, \" } \\")").c_str());
  STRCMP_EQUAL("/0 /1 ", Pointers(" [ 1 , { } ] ").c_str());
  STRCMP_EQUAL("/a~1b~0 /\" ", Pointers(R"({"a/b~":1,"\"":2})").c_str());
  STRCMP_EQUAL("/a/0/0/b /c ", Pointers(R"({"a":[[{"b":1}]],"c":2})").c_str());
}

TEST(ExtractFields, OfManyLevelsTakeNoStack) {
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  LONGS_EQUAL(1, Fields(deep).size());
}

TEST(ExtractFields, AreRefusedWhereTheAnswerIsNoJson) {
  for (const char* json : {"", "{", "[1", "[1}", "{\"a\"}", "{\"a\":}", "{1:2}", "\"a", "[1,]",
                           "1 2", "{\"a\":1,}", "\"\\", "[,1]", "nul", "\"\\x\""}) {
    const auto fields = FieldsOf(json, {}, Json::object(), "");
    CHECK_TEXT(!fields.ok(), json);
  }
}

TEST(ExtractFields, AreAsSureAsTheTokensThatWereDrawnForThem) {
  //                         0         1
  //                         0123456789012345
  const std::string json = R"({"a":"xy","b":7})";
  const std::vector<AnswerPiece> pieces = {{0, 5, -9, true},    // {"a":
                                           {5, 7, -1, false},   // "x
                                           {7, 10, -2, false},  // y",
                                           {10, 14, -8, true},  // "b":
                                           {14, 15, -4, true},  // 7
                                           {15, 16, -5, false}};
  const auto fields = Fields(json, "{}", "", pieces);
  DOUBLES_EQUAL(std::exp(-1.5), fields[0].confidence, 1e-12);
  DOUBLES_EQUAL(1, fields[1].confidence, 0);
}

TEST(ExtractFields, OfTheSourceTellEveryPlaceInIt) {
  const char* schema = R"({"type":"string","x-from-source":true})";
  STRCMP_EQUAL("0-4@1 10-14@3 ", Spans(R"("Acme")", schema, "Acme Ltd\n\nAcme").c_str());
  STRCMP_EQUAL("", Spans(R"("Acme")", R"({"type":"string"})", "Acme").c_str());
  STRCMP_EQUAL("3-5@1 ", Spans(R"("é")", schema, "le é").c_str());
  // A text of several lines, and white space as it may differ.
  STRCMP_EQUAL("2-5@1 ", Spans(R"("a\nb")", schema, "x a\nb").c_str());
  const char* fuzzy = R"({"type":"string","x-from-source":true,"x-fuzzy-space":true})";
  STRCMP_EQUAL("2-6@1 ", Spans(R"("a b")", fuzzy, "x a \nb").c_str());
  // Numbers by how they are written; not as a part of a longer one where it is there by itself.
  const char* number = R"({"type":"number","x-from-source":true})";
  STRCMP_EQUAL("7-11@1 ", Spans("12.5", number, "312.50 12.5").c_str());
  STRCMP_EQUAL("1-3@1 ", Spans("12", number, "3124").c_str());
}

TEST(ExtractFields, FindWhatTheSchemaSaysOfThemWhereverItSaysIt) {
  const char* document = "Acme";
  for (const char* schema :
       {R"({"properties":{"a":{"x-from-source":true}}})",
        R"({"additionalProperties":{"x-from-source":true}})",
        R"({"patternProperties":{"^a":{"x-from-source":true}}})",
        R"({"properties":{"a":{"$ref":"#/$defs/s"}},"$defs":{"s":{"x-from-source":true}}})",
        R"({"$ref":"#/$defs/o","$defs":{"o":{"allOf":[{"$ref":"#/$defs/o"},
            {"properties":{"a":{"anyOf":[{"type":"null"},{"type":["null","string"],
            "x-from-source":true}]}}}]}}})"}) {
    STRCMP_EQUAL_TEXT("0-4@1 ", Spans(R"({"a":"Acme"})", schema, document).c_str(), schema);
  }
  for (const char* schema :
       {R"({"properties":{"b":{"x-from-source":true}}})",
        R"({"properties":{"a":{"x-from-source":false}}})",
        R"({"properties":{"a":{"type":"null","x-from-source":true}}})",
        R"({"properties":{"a":{"$ref":"#/nowhere"}}})", R"({"properties":{"a":true}})",
        R"({"properties":[1],"items":3,"allOf":{},"$ref":7})"}) {
    STRCMP_EQUAL_TEXT("", Spans(R"({"a":"Acme"})", schema, document).c_str(), schema);
  }
  STRCMP_EQUAL("0-4@1 ", Spans(R"([1,"Acme"])",
                               R"({"prefixItems":[{}],"items":{"x-from-source":true}})", document)
                             .c_str());
  STRCMP_EQUAL(
      "", Spans(R"(["Acme"])", R"({"prefixItems":[{}],"items":{"x-from-source":true}})", document)
              .c_str());
}

TEST(ExtractFields, AreShownToTheModelInTheFormOfTheSchema) {
  STRCMP_EQUAL(R"({"who": <the company>, "when": <date>, "lines": [{"n": <integer>}, ...], )"
               R"("kind": "a" or "b", "ok": <true or false>, "none": null, "one": 1, )"
               R"("x": <text> or <number>, "pair": [<text>, <value>]})",
               Sketch(R"({"properties":{"who":{"type":"string","description":"the company"},
                 "when":{"type":"string","format":"date"},
                 "lines":{"type":"array","items":{"type":"object","properties":{"n":
                 {"type":"integer"}}}}, "kind":{"enum":["a","b"]},"ok":{"type":"boolean"},
                 "none":{"type":"null"},"one":{"const":1},
                 "x":{"anyOf":[{"type":"string"},{"type":"number"}]},
                 "pair":{"type":"array","prefixItems":[{"type":"string"},{}],"items":false}}})")
                   .c_str());
  STRCMP_EQUAL("<value>", Sketch("true").c_str());
  // A schema that contains itself, and one that is very wide, end.
  const std::string tree = Sketch(
      R"({"$ref":"#/$defs/t","$defs":{"t":{"type":"object","properties":{"a":{"$ref":"#/$defs/t"},
          "b":{"$ref":"#/$defs/t"}}}}})");
  CHECK(tree.size() < 2500);
  STRCMP_CONTAINS("...", tree.c_str());
  Json wide;
  for (int i = 0; i < 3000; ++i) wide["properties"][fmt::format("f{}", i)] = {{"type", "null"}};
  CHECK(Sketch(wide.dump().c_str()).size() < 2500);
  CHECK_ERROR(Code::kInvalid, "the schema: ", ExtractInstruction("{").status());
}

TEST(ExtractFields, AreCopiedWhereStringsAreNotLimitedOtherwise) {
  const auto grounded = GroundStrings(
      R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string","enum":["x"]},
          "c":{"type":"array","items":{"type":["string","null"],"maxLength":3}},
          "d":{"$ref":"#/$defs/d"},"e":{"anyOf":[{"type":"string","format":"date"},
          {"type":"string"}]},"f":{"type":"string","x-from-source":false},"g":{"type":"number"},
          "h":{"type":"string","pattern":"x"},"i":{"type":"string","const":"x"}},
          "$defs":{"d":{"type":"string"}}})");
  CHECK_OK(grounded.status());
  const Json schema = Json::parse(*grounded);
  const auto has = [&](const char* pointer) {
    return schema.at(Json::json_pointer(pointer)).value("x-from-source", false);
  };
  CHECK(has("/properties/a") && has("/properties/c/items") && has("/$defs/d"));
  CHECK(has("/properties/e/anyOf/1"));
  for (const char* pointer : {"/properties/b", "/properties/e/anyOf/0", "/properties/f",
                              "/properties/g", "/properties/h", "/properties/i"}) {
    CHECK_TEXT(!has(pointer), pointer);
  }
  CHECK_ERROR(Code::kInvalid, "the schema: ", GroundStrings("[").status());
}

TEST(ExtractFields, MeanSomethingInOneOfFourWays) {
  const auto normalized = [&](const char* json, const char* how) {
    return Fields(json, Json{{"x-normalize", how}}.dump().c_str())[0].normalized;
  };
  STRCMP_EQUAL(R"("2003-06-06")", normalized(R"("June 6, 2003")", "date").c_str());
  STRCMP_EQUAL("1234.50", normalized(R"("1,234.50")", "number").c_str());
  STRCMP_EQUAL("7.5", normalized("7.5", "number").c_str());
  STRCMP_EQUAL(R"({"amount":12.00,"currency":"MYR"})",
               normalized(R"("RM 12.00")", "currency").c_str());
  STRCMP_EQUAL(R"("+60340210276")", normalized(R"("+60 3 4021 0276")", "phone").c_str());
  for (const char* how : {"date", "number", "currency", "phone"}) {
    for (const char* json : {R"("of old")", "true", "null", "{}", R"("")"})
      STRCMP_EQUAL_TEXT("", normalized(json, how).c_str(), json);
  }
  STRCMP_EQUAL("", normalized(R"("03/04/2018")", "date").c_str());  // in two ways
  CHECK_OK(SchemaConstraint(R"({"x-normalize":"phone"})", "").status());
  CHECK_OK(SchemaConstraint(R"({"properties":{"x-normalize":{"type":"null"}}})", "").status());
  CHECK_ERROR(Code::kInvalid,
              "/properties/a/anyOf/1/x-normalize: should be one of date, number, currency, phone",
              SchemaConstraint(R"({"properties":{"a":{"anyOf":[{},{"x-normalize":"age"}]}}})", "")
                  .status());
  CHECK_ERROR(Code::kInvalid,
              "/x-normalize: ", SchemaConstraint(R"({"x-normalize":1})", "").status());
}

TEST(ExtractFields, ADocumentIsOnlyInTheConstraintOfASchemaThatCopies) {
  STRCMP_EQUAL("", SchemaConstraint(R"({"type":"string"})", "text")->document.c_str());
  STRCMP_EQUAL("", SchemaConstraint(R"({"x-from-source":false})", "text")->document.c_str());
  STRCMP_EQUAL("text", SchemaConstraint(R"({"anyOf":[{"items":{"x-from-source":true}}]})", "text")
                           ->document.c_str());
  CHECK_ERROR(Code::kInvalid, "the schema: ", SchemaConstraint("", "text").status());
}
