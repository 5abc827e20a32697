// What a script cannot do, and what becomes of one that takes too much.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

TEST_GROUP(Sandbox) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }

  void CheckInstructionBudget(const char* run_body) {
    f.options.budget.instructions = 100'000;
    CHECK_ERROR(Code::kExhausted, "budget of 100000 instructions", f.RunToStatus(run_body));
  }

  void CheckMemoryBudget(const char* run_body) {
    f.options.budget.memory_bytes = 4 << 20;
    CHECK_ERROR(Code::kExhausted, "memory budget of 4194304 bytes", f.RunToStatus(run_body));
  }
};

TEST(Sandbox, HidesWhatTouchesTheMachine) {
  CheckJson(
      "[]",
      "local there = minnow.array {} "
      "for _, path in ipairs { 'io', 'debug', 'package', 'dofile', 'loadfile', 'collectgarbage', "
      "    'os.execute', 'os.exit', 'os.getenv', 'os.remove', 'os.rename', 'os.tmpname', "
      "    'os.setlocale', 'string.dump', 'warn' } do "
      "  local value = _G "
      "  for part in path:gmatch '[^.]+' do value = value and value[part] end "
      "  if value ~= nil then there[#there + 1] = path end end "
      "return there");
}

TEST(Sandbox, HidesDumpAsAStringMethodToo) {
  CheckJson("true", "return ('x').dump == nil and getmetatable('').__index.dump == nil");
}

TEST(Sandbox, LoadsTextOnly) {
  CheckJson("[3,7]",
            "return { load('return 1 + 2')(), load('return x', '=x', 'bt', { x = 7 })() }");
  const std::string refused = f.RunToJson("local f, e = load('\\27Lua') return { f == nil, e }");
  STRCMP_CONTAINS("attempt to load a binary chunk", refused.c_str());
  CHECK_ERROR(Code::kInvalid, "the text of a chunk expected",
              f.RunToStatus("load(function() end)"));
}

TEST(Sandbox, RefusesABinaryPipelineFile) {
  CHECK_ERROR(Code::kInvalid, "attempt to load a binary chunk", f.LoadFile("\x1bLuaT").status());
}

TEST(Sandbox, RefusesFinalizers) {
  CHECK_ERROR(Code::kInvalid, "finalizers (__gc) are not available",
              f.RunToStatus("setmetatable({}, { __gc = function() end })"));
}

TEST(Sandbox, ProtectsItsMetatables) {
  CheckJson(R"(["minnow.model",false])",
            "return { getmetatable(m), (pcall(setmetatable, minnow.array {}, {})) }");
  CHECK_ERROR(Code::kInvalid, "is a method of a model",
              f.RunToStatus("m.generate(setmetatable({}, { __index = m }), 'p')"));
}

TEST(Sandbox, GivesEveryDocumentTheSameRandomNumbers) {
  const char* body = "return { math.random(1000000), math.random(1000000) }";
  const std::string first = f.RunToJson(body);
  STRCMP_EQUAL(first.c_str(), f.RunToJson(body).c_str());
}

TEST(Sandbox, SharesNothingBetweenDocuments) {
  auto pipeline = f.LoadFile(
      "local minnow = require 'minnow' local m = minnow.model 'fake' local count = 0 "
      "return minnow.pipeline { name = 'test', run = function(doc) "
      "  count = count + 1 seen = (seen or 0) + 1 string.seen = (string.seen or 0) + 1 "
      "  m:generate('x') getmetatable('').__index.upper = nil "
      "  return { count, seen, string.seen } end }");
  CHECK_OK(pipeline.status());
  for (const auto& result : f.RunAll(**pipeline, {"a", "b", "c"})) {
    CHECK_OK(result.status);
    STRCMP_EQUAL("[1,1,1]", result.value.dump().c_str());
  }
}

TEST(Sandbox, StopsAnEndlessLoop) { CheckInstructionBudget("while true do end"); }

TEST(Sandbox, StopsAnEndlessLoopThatCatchesErrors) {
  CheckInstructionBudget("while true do pcall(function() while true do end end) end");
  CheckInstructionBudget(
      "while true do xpcall(function() while true do end end, function() while true do end end) "
      "end");
}

TEST(Sandbox, StopsAnEndlessLoopInCoroutines) {
  CheckInstructionBudget("coroutine.wrap(function() while true do end end)()");
  CheckInstructionBudget(
      "while true do coroutine.resume(coroutine.create(function() "
      "while true do end end)) end");
  CheckInstructionBudget("while true do coroutine.wrap(function() end)() end");
}

// Each is done before its own instructions are looked at.
TEST(Sandbox, StopsATreeOfShortCoroutines) {
  for (const char* eight_times : {
           "for _ = 1, 8 do coroutine.wrap(f)(d - 1) end",
           "for _ = 1, 8 do coroutine.resume(coroutine.create(f), d - 1) end",
           "for _ = 1, 8 do pcall(coroutine.wrap(f), d - 1) end",
           "minnow.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function() f(d - 1) end)",
           "local function g() f(d - 1) end minnow.all { g, g, g, g, g, g, g, g }",
           "for _ = 1, 8 do minnow.timeout(1e9, f, d - 1) end",
       }) {
    CheckInstructionBudget(
        fmt::format("local function f(d) if d == 0 then return end {} end f(50)", eight_times)
            .c_str());
  }
}

TEST(Sandbox, StopsAnEndlessLoopThatCloses) {
  CheckInstructionBudget(
      "local x <close> = setmetatable({}, { __close = function() while true do end end }) "
      "while true do end");
}

TEST(Sandbox, StopsAnEndlessLoopThatClosesACoroutine) {
  CheckInstructionBudget(
      "coroutine.wrap(function() "
      "  local x <close> = setmetatable({}, { __close = function() while true do end end }) "
      "  while true do end end)()");
  CheckInstructionBudget(
      "local co = coroutine.create(function() "
      "  local x <close> = setmetatable({}, { __close = function() while true do end end }) "
      "  coroutine.yield() end) "
      "coroutine.resume(co) coroutine.close(co)");
}

TEST(Sandbox, StopsAnEndlessLoopBetweenModelCalls) {
  CheckInstructionBudget(
      "m:generate('a') minnow.all { function() m:generate('b') while true do end end, "
      "function() m:generate('c') end }");
}

TEST(Sandbox, StopsGrowthWithoutEnd) {
  CheckMemoryBudget("local t = {} while true do t[#t + 1] = {} end");
  CheckMemoryBudget(
      "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end");
  CheckMemoryBudget("local s = 'x' while true do s = s .. s end");
  CheckMemoryBudget(
      "local t = {} coroutine.wrap(function() while true do t[#t + 1] = {} end end)()");
  CheckMemoryBudget("load('return \"' .. ('x'):rep(3 << 20) .. '\"')");
}

TEST(Sandbox, StopsRepetitionBombs) {
  CheckMemoryBudget("return ('x'):rep(1e9)");
  CheckMemoryBudget("pcall(string.rep, 'x', 1e9) return 'alive'");
  CheckJson(R"("")", "return (''):rep(3e8)");
}

TEST(Sandbox, CollectsGarbageWithinTheBudget) {
  f.options.budget.memory_bytes = 2 << 20;
  CheckJson("1", "for i = 1, 100000 do local t = { i, i } end return 1");
}

TEST(Sandbox, RefusesABudgetThatHoldsNoState) {
  f.options.budget.memory_bytes = 1000;
  CHECK_ERROR(Code::kExhausted, "cannot make a Lua state", f.Load("return 1").status());
}

TEST(Sandbox, StopsDeepRecursion) {
  CHECK_ERROR(Code::kExhausted, "memory budget",
              f.RunToStatus("local function down() return 1 + down() end return down()"));
  CHECK_ERROR(
      Code::kInvalid, "C stack overflow",
      f.RunToStatus("local function down() return (('x'):gsub('x', down)) end return down()"));
}

TEST(Sandbox, LetsOtherDocumentsLiveWhenOneDies) {
  f.options.budget.instructions = 100'000;
  auto pipeline =
      f.Load("if doc.text == 'bad' then while true do end end return m:generate('x').text");
  CHECK_OK(pipeline.status());
  const auto results = f.RunAll(**pipeline, {"good", "bad", "good"});
  CHECK_OK(results[0].status);
  CHECK(results[1].status.code() == Code::kExhausted);
  CHECK_OK(results[2].status);
}
