// minnow.inspect.
#include "script/script_fixture.h"

using minnow::test::ScriptFixture;

TEST_GROUP(Inspect) {
  ScriptFixture f;

  void CheckText(const char* expected, const std::string& expression) {
    const auto result = f.Run("return minnow.inspect(" + expression + ")");
    CHECK_OK(result.status);
    STRCMP_EQUAL(expected, result.value.get<std::string>().c_str());
  }
};

TEST(Inspect, ShowsPlainValuesAsLuaWritesThem) {
  CheckText("nil", "nil");
  CheckText("true", "true");
  CheckText("12", "12");
  CheckText("12.0", "12.0");
  CheckText("1e+100", "1e100");
  CheckText("inf", "math.huge");
  CheckText("minnow.null", "minnow.null");
  CheckText("<function>", "print");
  CheckText("<minnow.model>", "m");
}

TEST(Inspect, QuotesStringsAndWhatIsNoText) {
  CheckText(R"("a \"b\" \\ \n \x00 \xff é")", R"('a "b" \\ \n \0 \xff é')");
}

TEST(Inspect, ShowsTablesByNameAndLists) {
  CheckText("{}", "{}");
  CheckText(R"({ 1, "b", { c = 2 } })", "{ 1, 'b', { c = 2 } }");
  CheckText(R"({ 1, [3] = 3, a = 1, ["b c"] = 2, ["end"] = 3, [true] = 4 })",
            "{ ['b c'] = 2, a = 1, [true] = 4, ['end'] = 3, [3] = 3, 1 }");
  CheckText("{ b = 1, a = 2 }", "minnow.ordered { { 'b', 1 }, { 'a', 2 } }");
}

TEST(Inspect, SpreadsLongTablesOverLines) {
  CheckText(
      ("{\n  a = \"" + std::string(60, 'x') + "\",\n  b = { \"" + std::string(60, 'y') + "\" },\n}")
          .c_str(),
      "{ a = ('x'):rep(60), b = { ('y'):rep(60) } }");
}

TEST(Inspect, EndsWhateverIsInTheTable) {
  CheckText("{ self = <a table above> }", "(function() local t = {} t.self = t return t end)()");
  const auto deep =
      f.Run("local t = {} for _ = 1, 1000 do t = { t } end return #minnow.inspect(t)");
  CHECK_OK(deep.status);
  const auto wide =
      f.Run("local t = 'x' for _ = 1, 60 do t = { t, t } end return #minnow.inspect(t)");
  CHECK_OK(wide.status);
  CHECK(wide.value.get<int>() < 4 << 20);
  const auto text = f.Run("return #minnow.inspect(('x'):rep(10000000))");
  CHECK_OK(text.status);
  CHECK(text.value.get<int>() < 70000);
}

TEST(Inspect, CallsNoMetamethods) {
  CheckText("{ a = 1 }",
            "setmetatable({ a = 1 }, { __index = error, __pairs = error, __tostring = error })");
}
