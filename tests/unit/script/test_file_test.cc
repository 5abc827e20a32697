// minnow test: the file, its tests, and what assertions say.
#include "script/test_file.h"

#include "script/script_fixture.h"

using minnow::Code;
using minnow::Result;
using minnow::Status;
using minnow::script::TestFile;
using minnow::test::ScriptFixture;

TEST_GROUP(TestFile) {
  ScriptFixture f;

  Result<std::unique_ptr<TestFile>> Load(const std::string& source,
                                         const std::string& filter = "") {
    return TestFile::Load(f.Write("x_test.lua", source), filter, f.models, *f.loop, f.options);
  }

  // The outcomes of the tests, "ok" or their messages, a line each.
  std::string RunAll(const std::string& source, const std::string& filter = "") {
    auto file = Load(source, filter);
    CHECK_OK(file.status());
    std::string text;
    for (const TestFile::Test& test : (*file)->tests()) {
      text += fmt::format("{}: ", fmt::join(test.path, " > "));
      if (test.pending) {
        text += "pending\n";
        continue;
      }
      const Status status = (*file)->Run(test);
      text += (status.ok() ? "ok" : status.message()) + "\n";
    }
    return text;
  }

  // What a test with this body ends with.
  Status RunOne(const std::string& body) {
    auto file = Load("it('does', function()\n" + body + "\nend)");
    CHECK_OK(file.status());
    return (*file)->Run((*file)->tests()[0]);
  }
};

TEST(TestFile, FindsTestsInNestedDescribes) {
  STRCMP_EQUAL(
      "a > b > one: ok\na > two: ok\nlater: pending\n",
      RunAll("describe('a', function() describe('b', function() it('one', function() end) end) "
             "it('two', function() end) end) pending 'later'")
          .c_str());
}

TEST(TestFile, TellsWhereATestStands) {
  auto file = Load("\n\nit('one', function() end)");
  CHECK_OK(file.status());
  STRCMP_CONTAINS("x_test.lua:3", (*file)->tests()[0].where.c_str());
}

TEST(TestFile, KeepsTestsWhoseNamesMatch) {
  STRCMP_EQUAL("a > 12: ok\n", RunAll("describe('a', function() it('12', function() end) "
                                      "it('x', function() end) end)",
                                      "^a %d+$")
                                   .c_str());
  CHECK_ERROR(Code::kInvalid, "malformed pattern", Load("it('a', function() end)", "[").status());
}

TEST(TestFile, RunsBeforeAndAfterEachFromTheOutsideIn) {
  STRCMP_CONTAINS(
      "B1 B2 it A2 A1",
      RunAll("local log = {} local function say(x) return function() log[#log + 1] = x end end "
             "after_each(function() say 'A1' () error(table.concat(log, ' ')) end) "
             "before_each(say 'B1') describe('d', function() before_each(say 'B2') "
             "after_each(say 'A2') it('t', say 'it') end)")
          .c_str());
}

TEST(TestFile, CleansUpAfterAFailureAndTellsTheFirst) {
  STRCMP_CONTAINS("first", RunAll("after_each(function() error 'second' end) "
                                  "it('t', function() error 'first' end)")
                               .c_str());
}

TEST(TestFile, TestsShareNothing) {
  STRCMP_EQUAL("1: ok\n2: ok\n",
               RunAll("local n = 0 local function t() n = n + 1 g = (g or 0) + 1 "
                      "assert.equal(1, n) assert.equal(1, g) end it('1', t) it('2', t)")
                   .c_str());
}

TEST(TestFile, ARunawayTestFailsAlone) {
  f.options.budget.memory_bytes = 4 << 20;
  f.options.budget.instructions = 1'000'000;
  const std::string text = RunAll(
      "it('loops', function() while true do pcall(error) end end) "
      "it('grows', function() local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end end) "
      "it('ok', function() end)");
  STRCMP_CONTAINS("loops: the script used up its budget of", text.c_str());
  STRCMP_CONTAINS("grows: the script used up its memory budget", text.c_str());
  STRCMP_CONTAINS("ok: ok", text.c_str());
}

TEST(TestFile, WaitsForModels) {
  CHECK_OK(
      RunOne("local m = require('minnow').model 'fake' "
             "assert.equal('<a>', m:generate('a').text)"));
}

TEST(TestFile, RunsPipelinesBesideTheFile) {
  f.Write("p.lua",
          "local minnow = require 'minnow' local m = minnow.model 'fake' "
          "return minnow.pipeline { name = 'p', run = function(doc) "
          "if doc.text == 'no' then error('never') end "
          "return { doc.id, m:generate(doc.text).text, doc.meta.n or 0 } end }");
  CHECK_OK(
      RunOne("local p = require('minnow').test.pipeline 'p.lua' "
             "assert.same({ 'document', '<a>', 0 }, p:run 'a') "
             "assert.same({ 'x', '<b>', 3 }, p:run { id = 'x', text = 'b', meta = { n = 3 } }) "
             "local e = assert.has_error(function() p:run 'no' end) "
             "assert.matches('p.lua:1: never', e.message)"));
  CHECK_ERROR(Code::kInvalid, "run: unknown field 'txt' (known: id, meta, path, text)",
              RunOne("require('minnow').test.pipeline 'p.lua':run { txt = 'a' }"));
  CHECK_ERROR(Code::kNotFound, "q.lua: no such file",
              RunOne("require('minnow').test.pipeline 'q.lua'"));
}

TEST(TestFile, LeavesNoDocumentRunning) {
  f.Write(
      "p.lua",
      "local m = require('minnow').model 'fake' return require('minnow').pipeline { name = 'p', "
      "run = function(doc) m:generate('hang') end }");
  CHECK_ERROR(Code::kInvalid, "enough",
              RunOne("local minnow = require 'minnow' local p = minnow.test.pipeline 'p.lua' "
                     "local co = coroutine.wrap(function() end) co() "
                     "minnow.all { function() minnow.sleep(0.005) "
                     "error('enough') end }"));
}

TEST(TestFile, RequiresPlainModules) {
  f.Write("lib/dates.lua", "return { year = function(s) return s:match '%d%d%d%d' end }");
  CHECK_OK(RunOne("assert.equal('2003', require('lib.dates').year 'June 6, 2003')"));
}

TEST(TestFile, RefusesWrongFiles) {
  CHECK_ERROR(Code::kInvalid, "x_test.lua:1: it: expected a function, got nil",
              Load("it('a')").status());
  CHECK_ERROR(Code::kInvalid, "x_test.lua:1: <name> expected", Load("local = 1").status());
  CHECK_ERROR(Code::kPrecondition, "nothing can wait here",
              Load("require('minnow').model('fake'):generate('a')").status());
  CHECK_ERROR(Code::kInvalid, "it stands in a describe", RunOne("it('b', function() end)"));
}

TEST(TestFile, AssertionsHoldOrShowBothValues) {
  CHECK_OK(
      RunOne("assert(true) assert.equal(1, 1.0) assert.are.equal('a', 'a') "
             "assert.same({ a = { 1, 2 } }, { a = { 1, 2 } }) assert.is_true(true) "
             "assert.is_false(false) assert.is_nil(nil) assert.is_not_nil(1) "
             "assert.truthy(0) assert.falsy(nil) assert.is_table({}) assert.is_not_string(1) "
             "assert.are_not.equal(1, 2) assert.not_same({ 1 }, { 2 }) "
             "assert.matches('^a', 'abc') assert.near(1, 1.01, 0.1) "
             "assert.has_error(function() error 'x' end) "
             "assert.has_error(function() error 'x' end, 'x') "
             "assert.has_error(function() require('minnow').model 'none' end, "
             "{ code = 'not_found' }) "
             "assert.error_matches(function() error 'abc' end, 'b') "
             "assert.has_no.errors(function() end) assert.is.Not.Nil(1)"));
  CHECK_ERROR(Code::kInvalid,
              "x_test.lua:2: assert: should be equal\nexpected: \"a\"\ngot:      { b = 1 }",
              RunOne("assert.equal('a', { b = 1 })"));
  CHECK_ERROR(Code::kInvalid, "should be the same, differs at .a[2]\n",
              RunOne("assert.same({ a = { 1, 2 } }, { a = { 1, 3 } })"));
  CHECK_ERROR(Code::kInvalid, "differs at .b", RunOne("assert.same({}, { b = 1 })"));
  CHECK_ERROR(Code::kInvalid, "not: should be equal", RunOne("assert.not_equal(1, 1)"));
  CHECK_ERROR(Code::kInvalid, "should raise an error", RunOne("assert.has_error(function() end)"));
  CHECK_ERROR(Code::kInvalid, "should raise another error\nexpected: \"y\"",
              RunOne("assert.has_error(function() error 'x' end, 'y')"));
  CHECK_ERROR(Code::kInvalid, "should be within 0.1", RunOne("assert.near(1, 2, 0.1)"));
  CHECK_ERROR(Code::kInvalid, "should be within", RunOne("assert.near(1, 0 / 0, 0.1)"));
  CHECK_ERROR(Code::kInvalid, "assert has no 'eqal'", RunOne("assert.eqal(1, 1)"));
}

TEST(TestFile, ComparesTablesThatContainThemselves) {
  CHECK_OK(RunOne("local a, b = {}, {} a.x, b.x = a, b assert.same(a, b)"));
}
