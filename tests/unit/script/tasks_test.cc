// minnow.map, minnow.all and minnow.sleep.
#include <chrono>

#include "script/script_fixture.h"

using minnow::Code;
using minnow::test::ScriptFixture;

TEST_GROUP(Tasks) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }
};

TEST(Tasks, MapsInOrderWhateverComesFirst) {
  CheckJson(R"(["1<a>","2<b>","3<c>"])",
            "return minnow.map({ 'a', 'b', 'c' }, function(x, i) "
            "minnow.sleep((4 - i) * 0.002) return i .. m:generate(x).text end)");
}

TEST(Tasks, MapsWithoutWaitingAtAll) {
  CheckJson("[[2,4],{}]",
            "return { minnow.map({ 1, 2 }, function(x) return x * 2 end), "
            "minnow.map({}, print) }");
}

TEST(Tasks, RunsAsManyAtOnceAsToldAndNoMore) {
  CheckJson("[3,8]",
            "local now, most, calls = 0, 0, 0 "
            "minnow.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(x) "
            "  now = now + 1 most = math.max(most, now) calls = calls + 1 "
            "  m:generate('x') now = now - 1 end, { concurrency = 3 }) "
            "return { most, calls }");
}

TEST(Tasks, RaisesTheFirstFailureAfterTheOthersHaveEnded) {
  CheckJson(R"(["two","1 ended"])",
            "local ended = 0 "
            "local _, e = pcall(minnow.map, { 1, 2, 3 }, function(x) "
            "  if x == 3 then error('three', 0) end "
            "  m:generate('x') "
            "  if x == 2 then error('two', 0) end "
            "  ended = ended + 1 end) "
            "return { e, ended .. ' ended' }");
}

TEST(Tasks, BeginsNothingMoreAfterAFailure) {
  CheckJson("[1,2]",
            "local begun = {} "
            "pcall(minnow.map, { 1, 2, 3, 4 }, function(x) "
            "  begun[#begun + 1] = x if x == 2 then error 'no' end m:generate('x') end, "
            "  { concurrency = 2 }) "
            "return begun");
}

TEST(Tasks, GivesAllResultsOfAll) {
  CheckJson(R"(["<a>",false,"<b>"])",
            "local a, n, b = minnow.all { function() return m:generate('a').text end, "
            "function() end, function() return m:generate('b').text end } "
            "return { a, n == nil and false, b }");
}

TEST(Tasks, NestsMaps) {
  CheckJson(R"([["<1.1>","<1.2>"],["<2.1>","<2.2>"]])",
            "return minnow.map({ 1, 2 }, function(a) return minnow.map({ 1, 2 }, function(b) "
            "return m:generate(a .. '.' .. b).text end) end)");
}

TEST(Tasks, MapsInsideCoroutines) {
  CheckJson(
      R"([["<a>"]])",
      "local next = coroutine.wrap(function() coroutine.yield(minnow.map({ 'a' }, function(x) "
      "return m:generate(x).text end)) end) return { next() }");
}

TEST(Tasks, RefusesWrongArguments) {
  CHECK_ERROR(Code::kInvalid, "test.lua:2: map: the first argument should be a list, got nil",
              f.RunToStatus("minnow.map(nil, print)"));
  CHECK_ERROR(Code::kInvalid, "the second argument should be a function",
              f.RunToStatus("minnow.map({})"));
  CHECK_ERROR(Code::kInvalid, "'concurrency' should be at least 1",
              f.RunToStatus("minnow.map({}, print, { concurrency = 0 })"));
}

TEST(Tasks, TimesOut) {
  f.options.untrusted.reset();  // looks at this process
  CheckJson("[1,2,null]",
            "return { minnow.timeout(60, function(a, b) return a, b, minnow.null end, 1, 2) }");
  CheckJson(R"(["deadline","timeout: it took longer than 0.01 s"])",
            "local _, e = pcall(minnow.timeout, 0.01, function() m:generate('hang') end) "
            "return { e.code, e.message }");
  LONGS_EQUAL(1, f.models.fake().cancelled());
  LONGS_EQUAL(0, f.loop->n_timers());
  CheckJson(R"("mine")",
            "local _, e = pcall(minnow.timeout, 60, function() error('mine', 0) end) return e");
}

TEST(Tasks, TimesOutWithAllThatWaitsInside) {
  CheckJson(R"([["deadline","closed"],"<alive>"])",
            "local log = {} "
            "local _, e = pcall(minnow.timeout, 0.01, function() "
            "  local x <close> = setmetatable({}, { __close = function() log[2] = 'closed' end }) "
            "  minnow.map({ 1, 2, 3 }, function() minnow.map({ 1 }, function() m:generate('hang') "
            "end) end) "
            "end) log[1] = e.code return { log, m:generate('alive').text }");
  LONGS_EQUAL(3, f.models.fake().cancelled());
}

TEST(Tasks, ACoroutineWhoseTimeIsUpDoesNotWaitForEver) {
  CheckJson(R"([false,"cancelled"])",
            "local co = coroutine.create(function() m:generate('hang') end) "
            "pcall(minnow.timeout, 0.01, function() coroutine.resume(co) end) "
            "local ok, e = coroutine.resume(co) return { ok, e.code }");
}

TEST(Tasks, SleepsAtLeastAsLongAsTold) {
  const auto begun = std::chrono::steady_clock::now();
  f.RunToJson("minnow.sleep(0.02)");
  CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(20));
}
