// Values from and to JSON: minnow.json, and what run returns.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

TEST_GROUP(ScriptJson) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }
  void CheckRoundTrip(const char* json) {
    auto pipeline = f.Load("return minnow.json.encode(minnow.json.decode(doc.text))");
    CHECK_OK(pipeline.status());
    const auto result = f.RunAll(**pipeline, {json})[0];
    CHECK_OK(result.status);
    STRCMP_EQUAL(json, result.value.get<std::string>().c_str());
  }
};

TEST(ScriptJson, KeepsEveryKindOfValue) {
  CheckRoundTrip(
      R"({"a":[],"b":{},"c":[1,2.5,-3,1.0,9007199254740993],"d":null,"e":true,"f":"ü\n\"","g":[null,1]})");
}

TEST(ScriptJson, KeepsIntegersAndFloatsApart) {
  CheckJson(R"([1,1.0,"integer","float"])",
            "local t = minnow.json.decode '[1,1.0]' "
            "return { t[1], t[2], math.type(t[1]), math.type(t[2]) }");
}

TEST(ScriptJson, WritesNamesInOrder) {
  CheckJson(R"({"a":1,"b":2,"c":3,"d":4})", "return { d = 4, b = 2, c = 3, a = 1 }");
}

TEST(ScriptJson, WritesOrderedValuesInTheirOwnOrder) {
  CheckJson(R"({"z":1,"a":2,"b":3,"m":4})",
            "local v = minnow.ordered { { 'z', 1 }, { 'a', 2 }, { 'gone', nil } } "
            "v.m = 4 v.b = 3 return v");
}

TEST(ScriptJson, TellsEmptyListsFromEmptyTables) {
  CheckJson(R"([{},[],null])", "return { {}, minnow.array {}, minnow.null }");
}

TEST(ScriptJson, ReturnsNullForNothing) { CheckJson("null", "return"); }

TEST(ScriptJson, NamesThePathOfWhatJsonCannotHold) {
  CHECK_ERROR(Code::kInvalid, "the result.a[2].f is a function",
              f.RunToStatus("return { a = { 1, { f = print } } }"));
  CHECK_ERROR(Code::kInvalid, "the result.a has both numbered and named entries",
              f.RunToStatus("return { a = { 1, x = 2 } }"));
  CHECK_ERROR(Code::kInvalid, "the result has no entry 2 but an entry 3",
              f.RunToStatus("return { 1, nil, 3 }"));
  CHECK_ERROR(Code::kInvalid, "the result has a boolean as a key",
              f.RunToStatus("return { [true] = 1 }"));
  CHECK_ERROR(Code::kInvalid, "the result.x is infinite or no number",
              f.RunToStatus("return { x = 0 / 0 }"));
  CHECK_ERROR(Code::kInvalid, "the result.m is a userdata", f.RunToStatus("return { m = m }"));
}

TEST(ScriptJson, RefusesValuesThatContainThemselves) {
  CHECK_ERROR(Code::kInvalid, "nested deeper than 64 levels",
              f.RunToStatus("local t = {} t.t = t return t"));
}

TEST(ScriptJson, RefusesDeepText) {
  CHECK_ERROR(Code::kInvalid, "nested deeper than 64 levels",
              f.RunToStatus("return minnow.json.decode(('['):rep(10000) .. (']'):rep(10000))"));
  CheckJson("64",
            "local t, n = minnow.json.decode(('['):rep(64) .. (']'):rep(64)), 0 "
            "while t do t, n = t[1], n + 1 end return n");
}

TEST(ScriptJson, SaysWhereTextIsWrong) {
  CHECK_ERROR(Code::kInvalid,
              "json.decode: ", f.RunToStatus("return minnow.json.decode '{\"a\":}'"));
  CHECK_ERROR(Code::kInvalid, "line 1, column 6",
              f.RunToStatus("return minnow.json.decode '{\"a\":}'"));
  CHECK_ERROR(Code::kInvalid, "json.decode: ", f.RunToStatus("return minnow.json.decode '1e999'"));
}

TEST(ScriptJson, ReplacesBytesThatAreNoText) {
  CheckJson(
      "\"a\xEF\xBF\xBD"
      "b\xEF\xBF\xBD\"",
      "return 'a\\xffb\\xe2\\x82'");
}
