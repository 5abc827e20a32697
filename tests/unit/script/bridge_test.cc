// Waiting for a model: wherever Lua allows it, and a clear refusal where it does not.
#include "script/script_fixture.h"

using minnow::Code;
using minnow::script::DocumentResult;
using minnow::test::ResidentBytes;
using minnow::test::ScriptFixture;

TEST_GROUP(Bridge) {
  ScriptFixture f;

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }
};

TEST(Bridge, WaitsInsidePcall) {
  CheckJson(R"([true,"<a>"])",
            "local ok, r = pcall(function() return m:generate('a').text end) "
            "return { ok, r }");
}

TEST(Bridge, WaitsInsideXpcallAndKeepsItsHandler) {
  CheckJson(R"(["<a>",false,"handled boom"])",
            "local _, a = xpcall(function() return m:generate('a').text end, print) "
            "local ok, e = xpcall(function() m:generate('b') error('boom', 0) end, "
            "                     function(e) return 'handled ' .. e end) "
            "return { a, ok, e }");
}

TEST(Bridge, WaitsInsideIterators) {
  CheckJson(R"(["<1>","<2>"])",
            "local function answers(n, i) if i < n then "
            "  return i + 1, m:generate(tostring(i + 1)).text end end "
            "local t = {} for _, text in answers, 2, 0 do t[#t + 1] = text end return t");
}

TEST(Bridge, WaitsInsideMetamethods) {
  CheckJson(R"(["<k>","<sum>","<closed>"])",
            "local seen; local mt = { "
            "  __index = function(_, k) return m:generate(k).text end, "
            "  __add = function() return m:generate('sum').text end, "
            "  __close = function() seen = m:generate('closed').text end } "
            "local x = setmetatable({}, mt) "
            "do local y <close> = setmetatable({}, mt) end "
            "return { x.k, x + x, seen }");
}

TEST(Bridge, WaitsInsideCoroutinesOfTheScript) {
  CheckJson(R"(["<1>","one","<2>","end","dead"])",
            "local co = coroutine.create(function() "
            "  local a = m:generate('1').text "
            "  local got = coroutine.yield(a) "
            "  coroutine.yield(got) "
            "  coroutine.yield(m:generate('2').text) "
            "  return 'end' end) "
            "local t = {} "
            "for _, send in ipairs { 'x', 'one', 'y', 'z' } do "
            "  local ok, v = coroutine.resume(co, send) assert(ok, v) t[#t + 1] = v end "
            "t[#t + 1] = coroutine.status(co) return t");
}

TEST(Bridge, WaitsInsideNestedGenerators) {
  CheckJson(R"(["<a>","<b>"])",
            "local function inner() return coroutine.wrap(function() "
            "  for _, p in ipairs { 'a', 'b' } do coroutine.yield(m:generate(p).text) end end) end "
            "local outer = coroutine.wrap(function() "
            "  for text in inner() do coroutine.yield(text) end end) "
            "local t = {} for text in outer do t[#t + 1] = text end return t");
}

TEST(Bridge, RefusesToWaitInsideGsubAndSort) {
  CHECK_ERROR(
      Code::kPrecondition, "generate has to wait, and nothing can wait here",
      f.RunToStatus("return (doc.text:gsub('t', function() return m:generate('a').text end))"));
  CHECK_ERROR(Code::kPrecondition, "string.gsub or table.sort",
              f.RunToStatus("local t = { 3, 2, 1 } table.sort(t, function(a, b) "
                            "return m:generate('a').text < 'x' end)"));
}

TEST(Bridge, RefusesToWaitInACoroutineThatGsubResumes) {
  CHECK_ERROR(
      Code::kPrecondition, "classify has to wait",
      f.RunToStatus("local next = coroutine.wrap(function() m:classify('a', 'b', { 'c', 'd' }) end)"
                    "return (doc.text:gsub('t', next))"));
}

TEST(Bridge, GoesOnAfterARefusalToWait) {
  CheckJson(
      R"(["precondition","<later>"])",
      "local ok, e = pcall(string.gsub, 'a', 'a', function() return m:generate('x').text end) "
      "return { e.code, m:generate('later').text }");
}

TEST(Bridge, RefusesToWaitAtTheTopOfAModule) {
  f.Write("greedy.lua", "return require('minnow').model('fake'):generate('a')");
  CHECK_ERROR(Code::kPrecondition, "greedy.lua:1: generate has to wait",
              f.RunToStatus("return require 'greedy'"));
}

TEST(Bridge, RefusesYieldOutsideOfACoroutine) {
  CHECK_ERROR(Code::kInvalid, "coroutine.yield outside of a coroutine",
              f.RunToStatus("coroutine.yield(1)"));
}

TEST(Bridge, KeepsWaitingCoroutinesFromBeingResumedByOthers) {
  CheckJson(
      R"(["cannot resume non-suspended coroutine","normal","<slow>"])",
      "local co = coroutine.create(function() return m:generate('slow').text end) "
      "local t = {} "
      "minnow.all { "
      "  function() local _, v = coroutine.resume(co) t[3] = v end, "
      "  function() local _, e = coroutine.resume(co) t[1] = e t[2] = coroutine.status(co) end } "
      "return t");
}

TEST(Bridge, ReportsErrorsInsideCoroutines) {
  CheckJson(
      R"([false,"device_lost",false,"closing"])",
      "local co = coroutine.create(function() m:generate('fail') end) "
      "local ok, e = coroutine.resume(co) "
      "local wrapped = coroutine.wrap(function() "
      "  local c <close> = setmetatable({}, { __close = function() error('closing', 0) end }) "
      "  m:generate('fail') end) "
      "local ok2, e2 = pcall(wrapped) "
      "return { ok, e.code, ok2, e2 }");
}

// Where an error is handled there may be some of C's stack left for functions, and none for
// coroutines.
TEST(Bridge, TellsWhyACoroutineCouldNotBegin) {
  STRCMP_EQUAL(R"([false,[false,"C stack overflow"]])",
               f.RunToJson("local function deep() return (('x'):gsub('x', deep)) end "
                           "return { xpcall(deep, function() "
                           "  return { pcall(coroutine.wrap(function() return 1 end)) } end) }")
                   .c_str());
}

TEST(Bridge, StreamsPiecesInOrder) {
  CheckJson(R"(["<","h","e","y",">"])",
            "local t = {} for piece in m:stream('hey') do t[#t + 1] = piece end return t");
}

TEST(Bridge, CancelsAStreamThatIsLeftEarly) {
  CheckJson(R"(["left","<b>"])",
            "local t = {} "
            "do local s <close> = m:stream('hang') t[1] = 'left' end "
            "t[2] = m:generate('b').text return t");
  LONGS_EQUAL(1, f.models.fake().cancelled());
}

TEST(Bridge, GoesOnAfterBreakingOutOfAStream) {
  CheckJson(R"(["<","<b>"])",
            "local t = {} "
            "for piece in m:stream('long') do t[1] = piece break end "
            "t[2] = m:generate('b').text return t");
}

TEST(Bridge, RaisesTheErrorOfAStreamInItsLoop) {
  CHECK_ERROR(Code::kDeviceLost, "the device is gone",
              f.RunToStatus("for piece in m:stream('fail') do end"));
}

TEST(Bridge, EndsAStreamOnlyOnce) {
  CheckJson(R"({})", "local s = m:stream('x') for _ in s do end return { s(), s() }");
}

TEST(Bridge, LetsOneTaskAtATimeWaitForAStream) {
  CHECK_ERROR(Code::kPrecondition, "waits for this already",
              f.RunToStatus("local s = m:stream('x') "
                            "minnow.all { function() s() end, function() s() end }"));
}

TEST(Bridge, RunsAThousandDocumentsAtOnce) {
  auto pipeline =
      f.Load("local a = m:ask(doc, 'who?').text local b = m:generate(a).text return doc.id .. b");
  CHECK_OK(pipeline.status());
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back("document " + std::to_string(i));
  f.models.fake().HoldUntil(1000);
  const auto results = f.RunAll(**pipeline, texts);
  for (int i = 0; i < 1000; ++i) {
    CHECK_OK(results[i].status);
    const std::string number = std::to_string(i);
    STRCMP_EQUAL((number + "<<[user]document " + number + "\n\nwho?>>").c_str(),
                 results[i].value.get<std::string>().c_str());
  }
}

// A state and its coroutine are 40 KB, of which Lua's libraries are most.
TEST(Bridge, KeepsTenThousandDocumentsUnderWayInFiftyKilobytesEach) {
  f.options.untrusted.reset();  // looks at this process
  constexpr size_t kDocuments = 10'000;
  auto pipeline = f.Load("return m:generate('x').text");
  CHECK_OK(pipeline.status());
  f.models.fake().HoldUntil(kDocuments);
  const int64_t before = ResidentBytes();
  int64_t at_most = 0;
  size_t missing = kDocuments;
  for (size_t i = 0; i < kDocuments; ++i) {
    (*pipeline)->Run({std::to_string(i), "", "text", {}}, [&](const DocumentResult& result) {
      if (missing == kDocuments) at_most = ResidentBytes();
      CHECK_OK(result.status);
      if (--missing == 0) f.loop->Stop();
    });
  }
  f.loop->Run();
  CHECK(at_most - before > 10'000 * int64_t{kDocuments});
  CHECK(at_most - before < 50'000 * int64_t{kDocuments});
}

TEST(Bridge, DropsDocumentsUnderWayWithTheirRequests) {
  {
    auto pipeline =
        f.Load("if doc.text == 'hang' then m:generate('hang') end return m:generate('x')");
    CHECK_OK(pipeline.status());
    int done = 0;
    for (int i = 0; i < 20; ++i) {
      (*pipeline)->Run({"", "", i % 2 ? "hang" : "go", {}}, [&](minnow::script::DocumentResult) {
        if (++done == 10) f.loop->Stop();
      });
    }
    f.loop->Run();
  }
  LONGS_EQUAL(10, f.models.fake().cancelled());
  // The answers to the cancelled requests come now, and reach nobody.
  f.loop->After(0.02, f.loop->NewAddress(), [&] { f.loop->Stop(); });
  f.loop->Run();
}
