#include "script/repl.h"

#include <thread>

#include "script/script_fixture.h"

using minnow::Code;
using minnow::script::Repl;
using minnow::test::ScriptFixture;

TEST_GROUP(Repl) {
  ScriptFixture f;
  std::unique_ptr<Repl> repl;

  void setup() override {
    auto created = Repl::Create(f.models, *f.loop, "fake");
    CHECK_OK(created.status());
    repl = *std::move(created);
  }
  void teardown() override { repl.reset(); }

  Repl::Outcome Run(const std::string& lines, bool is_last = false) {
    repl->ClearInterrupt();
    return repl->Run(lines, is_last);
  }
  // Interrupts when the model has been asked this.
  std::thread InterruptAfter(const std::string& prompt) {
    return std::thread(
        [this, wanted = std::vector<minnow::engine::TokenId>(prompt.begin(), prompt.end())] {
          while (f.models.fake().last_request().prompt != wanted)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          repl->Interrupt();
        });
  }
  void CheckValues(const char* expected, const std::string& lines) {
    const Repl::Outcome outcome = Run(lines);
    CHECK_OK(outcome.status);
    CHECK_FALSE(outcome.incomplete);
    STRCMP_EQUAL(expected, outcome.values.c_str());
  }
};

TEST(Repl, ShowsTheValuesOfAnExpression) {
  CheckValues("3\n", "1 + 2");
  CheckValues("{ a = \"b\" }\nnil\n", "{ a = 'b' }, nil");
  CheckValues("", "local x = 1");
  CheckValues("", "");
  CheckValues("", "-- nothing");
  CheckValues("5\n", "return 5");
}

TEST(Repl, KeepsGlobalsAndForgetsLocals) {
  CheckValues("", "x = 1 local y = 2");
  CheckValues("1\nnil\n", "x, y");
}

TEST(Repl, HasTheLibraryAndTheModel) {
  CheckValues("\"<a>\"\n", "slm:generate('a').text");
  CheckValues("{ \"<a>\", \"<b>\" }\n",
              "minnow.map({ 'a', 'b' }, function(x) return slm:generate(x).text end)");
}

TEST(Repl, GoesOnInFurtherLinesUntilItIsComplete) {
  for (const char* lines :
       {"if true then", "f(", "{ 1,", "1 +", "function f()", "x = [[", "'a' .."}) {
    const Repl::Outcome outcome = Run(lines);
    CHECK_TRUE_TEXT(outcome.incomplete, lines);
  }
  CheckValues("{ 1, 2 }\n", "{ 1,\n2 }");
}

TEST(Repl, TellsWhatIsWrongAndGoesOn) {
  CHECK_ERROR(Code::kInvalid, "repl:1: ", Run("x = = 1").status);
  CHECK_ERROR(Code::kInvalid, "near <eof>", Run("f(", true).status);
  CHECK_ERROR(Code::kInvalid, "repl:2: no", Run("\nerror 'no'").status);
  CHECK_ERROR(Code::kDeviceLost, "the device is gone", Run("slm:generate 'fail'").status);
  CHECK_ERROR(Code::kExhausted, "the queue is full", Run("slm:generate 'refuse'").status);
  CheckValues("1\n", "1");
}

TEST(Repl, ARefusedRequestLeavesTheVariables) {
  CheckValues("", "x = 1");
  CHECK_ERROR(Code::kExhausted, "the queue is full", Run("slm:generate 'refuse'").status);
  CheckValues("1\n", "x");
}

// The stream is begun without waiting for it, so Lua runs from then on.
TEST(Repl, InterruptEndsAnEndlessLoopEvenInsidePcall) {
  std::thread later = InterruptAfter("in the loop");
  CHECK_ERROR(Code::kCancelled, "interrupted",
              Run("x = 7 local s = slm:stream 'in the loop' "
                  "while true do pcall(function() while true do end end) end")
                  .status);
  later.join();
  CheckValues("7\n", "x");
}

TEST(Repl, InterruptCancelsTheCallUnderWay) {
  std::thread later = InterruptAfter("hang 2");
  CHECK_ERROR(
      Code::kCancelled, "interrupted",
      Run("minnow.map({ 'hang 1', 'hang 2' }, function(x) return slm:generate(x) end)").status);
  later.join();
  LONGS_EQUAL(2, f.models.fake().cancelled());
  CheckValues("\"<a>\"\n", "slm:generate('a').text");
}

TEST(Repl, AStreamCanBeReadOnInTheNextLine) {
  CheckValues("\"<\"\n", "s = slm:stream('ab') return s()");
  CheckValues("\"a\"\n", "s()");
}

TEST(Repl, BeginsAnewAfterTheMemoryIsUsedUp) {
  minnow::script::Budget budget = minnow::script::ScriptBudget();
  budget.memory_bytes = 4 << 20;
  auto created = Repl::Create(f.models, *f.loop, "fake", budget);
  CHECK_OK(created.status());
  repl = *std::move(created);
  CheckValues("", "x = 1");
  CHECK_ERROR(Code::kExhausted, "is lost",
              Run("x = {} while true do x[#x + 1] = ('x'):rep(1 << 20) .. #x end").status);
  CheckValues("nil\n", "x");
  CheckValues("\"<a>\"\n", "slm:generate('a').text");
}

TEST(Repl, RefusesAModelThatIsNotThere) {
  CHECK_ERROR(Code::kNotFound, "no model 'missing'",
              Repl::Create(f.models, *f.loop, "missing").status());
}
