// Scripts that want to do harm, or do it without wanting to: each costs itself alone, within its
// budgets. What a sandbox does not hold is in sandbox_test.cc, patterns in patterns_test.cc.
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "script/script_fixture.h"

using minnow::Code;
using minnow::Status;
using minnow::test::ResidentBytes;
using minnow::test::ScriptFixture;

TEST_GROUP(Hostile) {
  ScriptFixture f;
  minnow::LogLevel level;

  void setup() override { level = minnow::SetLogLevel(minnow::LogLevel::kError); }
  void teardown() override { minnow::SetLogLevel(level); }

  void CheckJson(const char* expected, const char* run_body) {
    STRCMP_EQUAL(expected, f.RunToJson(run_body).c_str());
  }

  void CheckInstructionBudget(const char* run_body) {
    f.options.budget.instructions = 1'000'000;
    CHECK_ERROR(Code::kExhausted, "budget of 1000000 instructions", f.RunToStatus(run_body));
  }
};

// --- Work inside one instruction

TEST(Hostile, ElementsThatAreMovedCount) {
  const char* ten_thousand = "local t = {} for i = 1, 10000 do t[i] = i end ";
  for (const char* body :
       {"for i = 1, 1e6 do table.insert(t, 1, i) end",
        "while true do table.insert(t, 1, (table.remove(t, 1))) end",
        "table.move(t, 1, 1 << 60, 2)", "table.move(t, -1 << 62, 1 << 62, 2)",
        "while true do table.move(t, 1, #t, 2) end",
        "while true do table.concat(t, '', 1, 5000) end", "while true do table.sort(t) end",
        "table.remove(setmetatable({}, { __len = function() return 1 << 60 end }), 1)",
        "table.insert(setmetatable({}, { __len = function() return 1 << 60 end }), 1, 1)",
        "table.sort(setmetatable({}, { __len = function() return 1 << 60 end }))",
        "table.concat({}, '', 1, 1 << 60)",
        "table.concat(setmetatable({}, { __index = function() return '' end }), '', 1, 1 << 60)"}) {
    CheckInstructionBudget((std::string(ten_thousand) + body).c_str());
  }
}

TEST(Hostile, BytesThatAreReadOrWrittenCount) {
  const char* a_megabyte = "local s = ('1'):rep(1 << 20) ";
  for (const char* body :
       {"while true do utf8.len(s) end", "while true do tonumber(s) end",
        "local b = ('b'):rep(1 << 20) while true do string.packsize(b) end",
        "while true do utf8.offset(s, -1) end", "while true do s:upper() end",
        "while true do local _ = s .. 'x' end", "while true do s:find('2', 1, true) end",
        "while true do s:find '2' end", "while true do m:count(s) end", "while true do load(s) end",
        "while true do require('minnow').json.encode(s) end",
        "while true do pcall(require('minnow').json.decode, s) end", "string.rep('', 1 << 40)"}) {
    CheckInstructionBudget((std::string(a_megabyte) + body).c_str());
  }
}

TEST(Hostile, SortingLongStringsCounts) {
  CheckInstructionBudget(
      "local t, s = {}, ('x'):rep(1 << 20) for i = 1, 1000 do t[i] = s end table.sort(t)");
}

TEST(Hostile, FormatsMayNotBeWide) {
  CHECK_ERROR(Code::kInvalid, "invalid conversion", f.RunToStatus("return ('%99999d'):format(1)"));
}

TEST(Hostile, TimeInLuaEndsADocument) {
  f.options.budget.lua_seconds = 0.05;
  CHECK_ERROR(Code::kExhausted, "budget of 0.05 s in Lua",
              f.RunToStatus("while true do pcall(function() while true do end end) end"));
  // Waiting is not running.
  CheckJson("1", "require('minnow').sleep(0.1) return 1");
}

TEST(Hostile, ADocumentEndsWithItsTime) {
  f.options.budget.seconds = 0.02;
  CHECK_ERROR(Code::kDeadline, "longer than its budget of 0.02 s",
              f.RunToStatus("pcall(m.generate, m, 'hang') return 1"));
  LONGS_EQUAL(1, f.models.fake().cancelled());
  CHECK_ERROR(Code::kDeadline, "budget of 0.02 s", f.RunToStatus("require('minnow').sleep(1e9)"));
  CHECK_ERROR(Code::kDeadline, "budget of 0.02 s",
              f.RunToStatus("while true do require('minnow').sleep(0) end"));
}

TEST(Hostile, TokensAreCountedBeforeAndAfter) {
  f.options.budget.tokens = 10;
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens",
              f.RunToStatus("pcall(m.generate, m, 'eleven byte') return 1"));
  CheckJson(R"("<ab>")", "return m:generate('ab').text");  // 2 and 4
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens",
              f.RunToStatus("m:generate('ab') m:generate('ab')"));
  // An answer is no longer than it may be.
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens", f.RunToStatus("m:generate('abcde')"));
  LONGS_EQUAL(6, f.models.fake().last_request().max_tokens);
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens",
              f.RunToStatus("m:classify('aa', 'b', { 'x', 'y' })"));
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens", f.RunToStatus("m:embed('eleven byte')"));
  CHECK_ERROR(Code::kExhausted, "budget of 10 tokens",
              f.RunToStatus("m:score('four', { 'seven77' })"));
}

// --- Memory

TEST(Hostile, MemoryComesBack) {
  const char* body = "local t = {} while true do t[#t + 1] = { #t } end";
  CHECK(!f.RunToStatus(body).ok());
  const int64_t before = ResidentBytes();
  for (int i = 0; i < 5; ++i) {
    CHECK_ERROR(Code::kExhausted, "memory budget of 67108864 bytes", f.RunToStatus(body));
  }
  if (::getenv("MINNOW_SANITIZED")) return;  // which keeps what was freed for a while
  CHECK(ResidentBytes() < before + (64 << 20));
}

TEST(Hostile, ATableInManyPlacesIsNotWrittenWithoutEnd) {
  f.options.budget.memory_bytes = 8 << 20;
  const char* doubling = "local t = 'leaf' for _ = 1, 60 do t = { t, t } end ";
  for (const char* end : {"return t", "return require('minnow').json.encode(t)", "m:chat(t)"}) {
    f.options.budget.instructions = 100'000'000;
    CHECK_ERROR(Code::kExhausted, "larger than 8388608 bytes as JSON",
                f.RunToStatus(std::string(doubling) + end));
    f.options.budget.instructions = 50'000;
    CHECK(f.RunToStatus(std::string(doubling) + end).code() == Code::kExhausted);
  }
}

TEST(Hostile, LongNamesDoNotMakeLongErrors) {
  const Status status = f.RunToStatus(
      "local t, name = print, ('x'):rep(1 << 20) for _ = 1, 30 do t = { [name] = t } end return t");
  CHECK_ERROR(Code::kInvalid, "is a function", status);
  CHECK(status.message().size() < 5000);
}

TEST(Hostile, TextWithTooManyValuesIsRefused) {
  f.options.budget.memory_bytes = 4 << 20;
  CHECK_ERROR(
      Code::kExhausted, "json.decode: more than",
      f.RunToStatus("return #require('minnow').json.decode('[' .. ('0,'):rep(700000) .. '0]')"));
  CHECK_ERROR(Code::kInvalid, "nested deeper than 64 levels",
              f.RunToStatus("require('minnow').json.decode(('['):rep(10000) .. (']'):rep(10000))"));
  CHECK_ERROR(Code::kInvalid, "json.decode",
              f.RunToStatus("require('minnow').json.decode('1e999999999')"));
  CHECK_ERROR(Code::kInvalid, "json.decode", f.RunToStatus("require('minnow').json.decode('NaN')"));
}

// --- Depth

namespace {

struct SmallStack {
  ScriptFixture* f;
  const char* body;
  Status status;
};

void* RunOnSmallStack(void* argument) {
  auto* run = static_cast<SmallStack*>(argument);
  auto pipeline = run->f->Load(run->body);
  if (pipeline.ok()) run->status = run->f->RunAll(**pipeline, {"text"})[0].status;
  return nullptr;
}

}  // namespace

// Lua stops after 200 calls of C inside each other, whose largest frames take 2 KB. Of a script in
// a process of its own, that process's stack is as small.
TEST(Hostile, RecursionFitsOnASmallStack) {
  // A sanitizer's frames are larger.
  const size_t stack = ::getenv("MINNOW_SANITIZED") ? 4 << 20 : 512 << 10;
  struct rlimit before;
  ::getrlimit(RLIMIT_STACK, &before);
  const struct rlimit small = {stack, before.rlim_max};
  if (f.options.untrusted) ::setrlimit(RLIMIT_STACK, &small);
  for (const char* body :
       {"local function down() return 1 + down() end return down()",
        "local function down() return (('x'):gsub('x', down)) end return down()",
        "local function down() table.sort({ 1, 2, 3 }, down) end down()",
        "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) return t[1]",
        "local t = {} for _ = 1, 2000 do t = setmetatable({}, { __index = t }) end return t.x == "
        "nil",
        "local t = setmetatable({}, { __tostring = function(t) return ('%s'):format(t) end }) "
        "tostring(t)",
        "local t = setmetatable({}, { __concat = function(a, b) return a .. b end }) return t .. t",
        "local function down() return pcall(down) end return select('#', down())",
        "local function down() return coroutine.wrap(down)() end return down()",
        "local function down() return xpcall(down, down) end down()",
        "local function deep() return 1 + deep() end xpcall(deep, function() return deep() end)",
        "return load(('('):rep(10000) .. '1' .. (')'):rep(10000))",
        "return load('return ' .. ('{'):rep(10000))",
        "return load('x = ' .. ('-'):rep(100000) .. '1')",
        "return load('return ' .. ('a..'):rep(10000) .. 'a')",
        "('x'):find(('(x'):rep(30) .. (')'):rep(30)) return "
        "('x'):rep(1000):find(('x?'):rep(190))"}) {
    SmallStack run{&f, body, Status()};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    pthread_t thread;
    LONGS_EQUAL(0, pthread_create(&thread, &attributes, RunOnSmallStack, &run));
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
    CHECK(run.status.message().find("crashed") == std::string::npos);
  }
  ::setrlimit(RLIMIT_STACK, &before);
}

TEST(Hostile, SourcesHaveLimits) {
  CHECK_ERROR(Code::kInvalid, "1048576 bytes at most",
              f.LoadFile("return '" + std::string(5 << 20, 'x') + "'").status());
  CHECK_ERROR(Code::kInvalid, "a chunk may have 1 MiB at most",
              f.RunToStatus("load(('x'):rep(2 << 20))"));
  std::string locals, constants = "return {";
  for (int i = 0; i < 100'000; ++i) locals += "local a\n";
  CHECK_ERROR(Code::kInvalid, "too many local variables", f.LoadFile(locals).status());
  for (int i = 0; i < 50'000; ++i) constants += std::to_string(i) + ".5,";
  CHECK_ERROR(Code::kInvalid, "a pipeline file returns", f.LoadFile(constants + "}").status());
  CHECK_ERROR(
      Code::kInvalid, "overflow",
      f.LoadFile("return " + std::string(10'000, '(') + "1" + std::string(10'000, ')')).status());
}

// --- Errors that are no strings

TEST(Hostile, ErrorsMayBeAnything) {
  CHECK_ERROR(Code::kInvalid, "invalid order function",
              f.RunToStatus("local t = {} for i = 1, 100 do t[i] = i % 7 end "
                            "table.sort(t, function() return true end)"));
  CHECK_ERROR(Code::kInvalid, "an error that is a nil", f.RunToStatus("error(nil)"));
  CHECK_ERROR(Code::kInvalid, "an error that is a function", f.RunToStatus("error(print)"));
  CHECK_ERROR(
      Code::kInvalid, "an error that is a table",
      f.RunToStatus("error(setmetatable({}, { __tostring = function() while true do end end }))"));
  CHECK_ERROR(
      Code::kInvalid, "an error that is a table",
      f.RunToStatus("error(setmetatable({}, { __index = function() while true do end end }))"));
  CHECK_ERROR(Code::kPrecondition, "nothing can wait here",
              f.RunToStatus("table.sort({ 1, 2 }, function() m:generate('x') end)"));
}

// --- Handles

TEST(Hostile, HandlesAreWhatTheyAreOrErrors) {
  for (const char* body :
       {"m.generate({}, 'p')", "m.generate(nil, 'p')", "m.generate(5, 'p')", "m.generate()",
        "m.generate(require('minnow').null, 'p')", "m.generate(coroutine.create(print), 'p')",
        "m.generate(m.stream(m, 'p'), 'p')", "m.generate(print, 'p')",
        "m.generate(setmetatable({}, { __index = m, __name = 'minnow.model' }), 'p')",
        "m.context({}, 'x')"}) {
    CHECK_ERROR(Code::kInvalid, "is a method of a model", f.RunToStatus(body));
  }
  CHECK_ERROR(Code::kInvalid, "protected metatable",
              f.RunToStatus("setmetatable(getmetatable(''), {}) "
                            "setmetatable(require('minnow').array {}, {})"));
  CHECK_ERROR(Code::kInvalid, "table expected", f.RunToStatus("setmetatable(m, {})"));
  CHECK_ERROR(
      Code::kInvalid, "is a method of a model",
      f.RunToStatus(
          "local next_piece = m:stream('p') for _ in next_piece do end m.generate(next_piece)"));
  CheckJson("null",
            "local next_piece = m:stream('p') for _ in next_piece do end return next_piece()");
}

// --- Floods

TEST(Hostile, OutputHasABudget) {
  f.options.budget.output_bytes = 1000;
  std::FILE* file = std::tmpfile();
  auto pipeline =
      f.Load("for i = 1, 1000 do print('line', i) require('minnow').log.info(i) end return 1");
  CHECK_OK(pipeline.status());
  (*pipeline)->print_to(file);
  CHECK_OK(f.RunAll(**pipeline, {"text"})[0].status);
  const long written = std::ftell(file);
  CHECK(written > 100 && written <= 1000);
  std::fclose(file);
}

TEST(Hostile, CallsCountAndOnlySoManyAreUnderWay) {
  CheckInstructionBudget("while true do pcall(m.generate, m, 'refuse') end");
  CheckInstructionBudget("while true do m:stream('hang') end");
  f.options.budget.instructions = 100'000'000;
  CHECK_ERROR(Code::kExhausted, "more than 10000 calls under way",
              f.RunToStatus("for i = 1, 100000 do m:stream('hang') end"));
  CHECK(f.models.fake().cancelled() >= 10'000);
}

TEST(Hostile, TimersGoWithTheirDocument) {
  f.options.untrusted.reset();  // looks at this process
  f.options.budget.seconds = 0.05;
  CHECK_ERROR(
      Code::kDeadline, "budget of 0.05 s",
      f.RunToStatus("local minnow = require 'minnow' local t = {} for i = 1, 5000 do t[i] = i end "
                    "minnow.map(t, function() minnow.sleep(1e9) end, { concurrency = 5000 })"));
  LONGS_EQUAL(0, f.loop->n_timers());
}

// --- What is shared

TEST(Hostile, LibrariesOfADocumentAreItsOwn) {
  auto pipeline = f.LoadFile(
      "local minnow = require 'minnow' local m = minnow.model 'fake' "
      "return minnow.pipeline { name = 'test', run = function(doc) "
      "  if doc.text == 'evil' then "
      "    getmetatable('').__index.rep = function() return 'evil' end rawset(string, 'upper', "
      "nil) "
      "    rawset(minnow, 'map', nil) minnow.json.encode = nil math.floor = nil _ENV.tostring = "
      "nil "
      "    setmetatable(_G, { __index = function() return 'evil' end }) return undefined end "
      "  return { ('a'):rep(2), ('a'):upper(), type(minnow.map), type(minnow.json.encode), "
      "    math.floor(1.5), tostring(1), type(undefined) } end }");
  CHECK_OK(pipeline.status());
  const auto results = f.RunAll(**pipeline, {"evil", "good", "evil", "good"});
  STRCMP_EQUAL(R"("evil")", results[2].value.dump().c_str());
  STRCMP_EQUAL(R"(["aa","A","function","function",1,"1","nil"])", results[1].value.dump().c_str());
  STRCMP_EQUAL(R"(["aa","A","function","function",1,"1","nil"])", results[3].value.dump().c_str());
}
