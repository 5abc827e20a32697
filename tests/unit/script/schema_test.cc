// minnow.schema: what its constructors write, and what they refuse.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

TEST_GROUP(ScriptSchema) {
  ScriptFixture f;

  // The JSON Schema of this expression, in which `s` is the module.
  void CheckSchema(const char* expected, const std::string& expression) {
    const auto result =
        f.Run("local s = minnow.schema return s.to_json_schema(" + expression + ")");
    CHECK_OK(result.status);
    STRCMP_EQUAL(expected, result.value.get<std::string>().c_str());
  }
  void CheckRefused(const char* message, const std::string& expression) {
    CHECK_ERROR(Code::kInvalid, message,
                f.RunToStatus("local s = minnow.schema local x = " + expression));
  }
};

TEST(ScriptSchema, WritesEachType) {
  CheckSchema(R"({"type":"string"})", "s.string()");
  CheckSchema(R"({"type":"string"})", "s.string {}");
  CheckSchema(
      R"({"type":"string","description":"d","enum":["a","b"],"pattern":"p","format":"date",)"
      R"("minLength":1,"maxLength":2,"x-from-source":true,"x-fuzzy-space":true,)"
      R"("x-normalize":"date"})",
      "s.string { normalize = 'date', fuzzy_space = true, from_source = true, max_length = 2, "
      "min_length = 1, format = 'date', pattern = 'p', enum = { 'a', 'b' }, description = 'd' }");
  CheckSchema(R"({"type":"string"})", "s.string { from_source = false }");
  CheckSchema(R"({"type":"number","minimum":0,"maximum":1.5,"multipleOf":0.5})",
              "s.number { min = 0, max = 1.5, multiple_of = 0.5 }");
  CheckSchema(R"({"type":"integer","x-from-source":true})", "s.integer { from_source = true }");
  CheckSchema(R"({"type":"boolean"})", "s.boolean()");
  CheckSchema(R"({"type":"null","description":"nothing"})", "s.null { description = 'nothing' }");
  CheckSchema(R"({"enum":["a",1,null,false]})", "s.enum { 'a', 1, minnow.null, false }");
  CheckSchema(R"({"const":false})", "s.const(false)");
  CheckSchema(R"({"const":{"a":1}})", "s.const { a = 1 }");
  CheckSchema(R"({"type":"array","items":{"type":"null"},"minItems":1,"maxItems":3})",
              "s.array(s.null(), { min = 1, max = 3 })");
  CheckSchema(
      R"({"type":"array","prefixItems":[{"type":"null"},{"type":"string"}],"items":false,"minItems":2})",
      "s.tuple { s.null(), s.string() }");
  CheckSchema(R"({"anyOf":[{"type":"null"},{"type":"string"}]})",
              "s.any_of { s.null(), s.string() }");
}

TEST(ScriptSchema, KeepsTheOrderOfFields) {
  CheckSchema(
      R"({"type":"object","properties":{"z":{"type":"string"},"a":{"type":"null"},)"
      R"("m":{"type":"boolean"},"b":{"type":"boolean"}},"required":["z","m"],)"
      R"("additionalProperties":false})",
      "s.object { { 'z', s.string() }, { 'a', s.null(), optional = true }, { 'm', s.boolean() }, "
      "{ 'b', s.optional(s.boolean()) } }");
  CheckSchema(R"({"type":"object","properties":{},"additionalProperties":false})", "s.object {}");
  CheckSchema(
      R"({"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":false})",
      "s.object { { 'a', s.null(), optional = true } }");
}

TEST(ScriptSchema, DefinitionsStandAtTheRootOfWhateverTheyAreIn) {
  const std::string tree =
      "s.define('tree', s.object { { 'v', s.string() }, { 'in', s.array(s.ref 'tree') } })";
  const std::string defs =
      R"("$defs":{"tree":{"type":"object","properties":{"v":{"type":"string"},"in":{"type":"array",)"
      R"("items":{"$ref":"#/$defs/tree"}}},"required":["v","in"],"additionalProperties":false}})";
  CheckSchema((R"({"$ref":"#/$defs/tree",)" + defs + "}").c_str(), tree);
  CheckSchema((R"({"type":"array","items":{"anyOf":[{"$ref":"#/$defs/tree"},{"type":"null"}]},)" +
               defs + "}")
                  .c_str(),
              "s.array(s.any_of { " + tree + ", s.null() })");
  // The same definition in two places is one; two of a name are refused.
  CheckSchema((R"({"type":"array","prefixItems":[{"$ref":"#/$defs/tree"},{"$ref":"#/$defs/tree"}],)"
               R"("items":false,"minItems":2,)" +
               defs + "}")
                  .c_str(),
              "(function() local tree = " + tree + " return s.tuple { tree, tree } end)()");
  CheckRefused("'x' is defined twice",
               "s.tuple { s.define('x', s.null()), s.define('x', s.string()) }");
  CheckSchema(R"({"$ref":"#/$defs/out","$defs":{"in":{"type":"null"},"out":{"type":"array",)"
              R"("items":{"$ref":"#/$defs/in"}}}})",
              "s.define('out', s.array(s.define('in', s.null())))");
}

TEST(ScriptSchema, ComesBackFromJsonSchemaInItsOrder) {
  for (const char* text :
       {R"({"type":"object","properties":{"z":{"type":"string"},"a":{"enum":["x",null,1.5]}},)"
        R"("required":["z"],"additionalProperties":false})",
        R"({})", R"({"items":{},"$defs":{"b":{},"a":{"required":[]}}})"}) {
    CheckSchema(text, std::string("s.from_json_schema '") + text + "'");
  }
  CheckSchema(
      R"({"type":"array","items":{"$ref":"#/$defs/a"},"$defs":{"a":{"type":"null"}}})",
      R"(s.array(s.from_json_schema '{"$ref":"#/$defs/a","$defs":{"a":{"type":"null"}}}'))");
  CheckRefused("cannot be a part of another",
               R"(s.array(s.from_json_schema '{"items":{"$ref":"#"}}'))");
  CheckRefused("json.decode", "s.from_json_schema '{'");
  CheckRefused("should be a JSON object", "s.from_json_schema '[1]'");
  CheckRefused("should be a JSON object", "s.from_json_schema 'true'");
}

TEST(ScriptSchema, RefusesWhatItDoesNotKnowByItsName) {
  CheckRefused("string: unknown option 'min' (known: description, enum, format, from_source",
               "s.string { min = 1 }");
  CheckRefused("number: option 'min' should be a number, got string", "s.number { min = '1' }");
  CheckRefused("string: option 'max_length' should be an integer from 0 on, got number",
               "s.string { max_length = 1.5 }");
  CheckRefused("string: option 'max_length' should be an integer from 0 on",
               "s.string { max_length = -1 }");
  CheckRefused("string: option 'enum' should be a list that is not empty",
               "s.string { enum = {} }");
  CheckRefused("option 'from_source' should be true or false", "s.string { from_source = 1 }");
  CheckRefused("string: options should be a table, got string", "s.string 'x'");
  CheckRefused("got an entry named 'total'", "s.object { total = s.number() }");
  CheckRefused("got an entry named 'b'", "s.object { { 'a', s.null() }, b = s.null() }");
  CheckRefused("object: field 1 should be { \"name\", type }", "s.object { s.null() }");
  CheckRefused("field 1 ('a') should be made by minnow.schema", "s.object { { 'a' } }");
  CheckRefused("got table", "s.object { { 'a', { type = 'string' } } }");
  CheckRefused("has an unknown option '3'", "s.object { { 'a', s.null(), true } }");
  CheckRefused("option 'optional' should be true or false",
               "s.object { { 'a', s.null(), optional = 1 } }");
  CheckRefused("field 'a' is there twice", "s.object { { 'a', s.null() }, { 'a', s.null() } }");
  CheckRefused("got s.optional", "s.array(s.optional(s.null()))");
  CheckRefused("optional: the type should be made by", "s.optional {}");
  CheckRefused("const: the value is missing", "s.const()");
  CheckRefused("any_of: a list of types is needed, got an empty one", "s.any_of {}");
  CheckRefused("a name has letters, digits", "s.ref 'a/b'");
  CheckRefused("to_json_schema: the type should be made by", "s.to_json_schema {}");
}

TEST(ScriptSchema, IsAModuleOfItsOwn) {
  STRCMP_EQUAL("true", f.RunToJson("return require('minnow.schema') == minnow.schema").c_str());
}
