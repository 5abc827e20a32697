// The fake backend is the oracle of engine tests, so each mistake it should see is made here once.
#include "fake_backend/fake_backend.h"

#include <CppUTest/TestHarness.h>

#include "fake_step.h"

using minnow::Code;
using minnow::Status;
using minnow::test::FakeModelOptions;
using minnow::test::FakeOptions;
using minnow::test::FakeSession;
using minnow::test::FakeStep;
using minnow::test::FavouriteToken;

namespace {

int32_t Favourite(const std::vector<int32_t>& context) { return FavouriteToken(context, 64); }

// Commits the tokens as a sequence in these pages.
void Fill(FakeSession& session, const std::vector<int32_t>& tokens,
          const std::vector<int32_t>& pages) {
  FakeStep step(session);
  step.Chain(step.Sequence(0, pages), tokens);
  CHECK_OK(step.Run());
}

std::vector<int32_t> Count(int32_t n) {
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.push_back(i);
  return tokens;
}

}  // namespace

TEST_GROUP(FakeBackend){FakeModelOptions small(){// pages of four
                                                 FakeModelOptions o;
o.page_tokens = 4;
o.n_ctx = 32;
return o;
}
void CheckClean(FakeSession& session) {
  for (const std::string& violation : session.backend().violations()) FAIL(violation.c_str());
}
void CheckWrong(const char* text, FakeStep& step) { CHECK_ERROR(Code::kInvalid, text, step.Run()); }
}
;

TEST(FakeBackend, AnswersFromTheWholeContextAcrossPages) {
  FakeSession session(small());
  Fill(session, {1, 2, 3, 4, 5, 6}, {3, 1});
  FakeStep step(session);
  step.Chain(step.Sequence(6, {3, 1}), {7});
  CHECK_OK(step.Run());
  LONGS_EQUAL(Favourite({1, 2, 3, 4, 5, 6, 7}), step.Best(0));
  UNSIGNED_LONGS_EQUAL(2, session.backend().PagesHeld(0));
  CheckClean(session);
}

TEST(FakeBackend, GivesGreedyDecodingItsOracle) {
  FakeSession session(small());
  const std::vector<int32_t> expected = minnow::test::GreedyTokens({9, 8}, 5, 64);
  Fill(session, {9, 8}, {0, 1});
  std::vector<int32_t> context = {9, 8}, made = {Favourite({9, 8})};
  for (int32_t length = 2; made.size() < 5; ++length) {
    FakeStep step(session);
    step.Chain(step.Sequence(length, {0, 1}), {made.back()});
    CHECK_OK(step.Run());
    made.push_back(step.Best(0));
  }
  CHECK(made == expected);
  CheckClean(session);
}

TEST(FakeBackend, ServesSeveralSequencesAndSharedPrefixes) {
  FakeSession session(small());
  Fill(session, {1, 2, 3, 4}, {5});
  FakeStep step(session);
  step.Chain(step.Sequence(4, {5, 6}), {10, 11});
  step.Chain(step.Sequence(4, {5, 7}), {20});
  step.Chain(step.Sequence(0, {8}), {30});
  CHECK_OK(step.Run());
  LONGS_EQUAL(Favourite({1, 2, 3, 4, 10, 11}), step.Best(0));
  LONGS_EQUAL(Favourite({1, 2, 3, 4, 20}), step.Best(1));
  LONGS_EQUAL(Favourite({30}), step.Best(2));
  CheckClean(session);
}

TEST(FakeBackend, FollowsBranchesAndKeepsOnlyWhatIsCommitted) {
  FakeSession session(small());
  Fill(session, {1, 2}, {0});
  FakeStep draft(session);
  const int32_t s = draft.Sequence(2, {0});
  const int32_t a = draft.Row(s, 3, -1, false), b = draft.Row(s, 4, a, false),
                c = draft.Row(s, 5, a, false);
  draft.out_rows = {b, c};
  CHECK_OK(draft.Run());
  LONGS_EQUAL(Favourite({1, 2, 3, 4}), draft.Best(0));
  LONGS_EQUAL(Favourite({1, 2, 3, 5}), draft.Best(1));

  const int32_t rows[] = {a, c}, slots[] = {2, 3};
  CHECK_OK(session.device().CommitState(session.state(), 0, rows, slots));
  FakeStep step(session);
  step.Chain(step.Sequence(4, {0, 1}), {6});
  CHECK_OK(step.Run());
  LONGS_EQUAL(Favourite({1, 2, 3, 5, 6}), step.Best(0));
  CheckClean(session);
}

TEST(FakeBackend, CopiesClearsAndForgetsPages) {
  FakeSession session(small());
  Fill(session, {1, 2, 3}, {0});
  const mnw_page_edit copy = {0, 0, 9, 2};
  CHECK_OK(session.device().EditState(session.state(), {&copy, 1}));
  FakeStep step(session);
  step.Chain(step.Sequence(2, {9}), {7});
  CHECK_OK(step.Run());
  LONGS_EQUAL(Favourite({1, 2, 7}), step.Best(0));
  CheckClean(session);

  const mnw_page_edit clear = {0, -1, 9, 4};
  CHECK_OK(session.device().EditState(session.state(), {&clear, 1}));
  FakeStep cleared(session);
  cleared.Chain(cleared.Sequence(2, {9}), {7});
  CheckWrong("page 9 was never written", cleared);

  session.backend().ForgetPage(0, 0);
  FakeStep forgotten(session);
  forgotten.Chain(forgotten.Sequence(3, {0}), {7});
  CheckWrong("page 0 was never written", forgotten);
}

TEST(FakeBackend, MovesPagesThroughTheCanonicalForm) {
  FakeSession session(small());
  Fill(session, {1, 2, 3}, {0});
  std::vector<float> page(4 * 2 * 8);
  CHECK_OK(session.device().ExportPage(session.state(), 0, 0, page));
  CHECK_OK(session.device().ImportPage(session.state(), 0, 4, page));
  FakeStep step(session);
  step.Chain(step.Sequence(3, {4}), {9});
  CHECK_OK(step.Run());
  LONGS_EQUAL(Favourite({1, 2, 3, 9}), step.Best(0));
  CheckClean(session);
}

TEST(FakeBackend, SeesPagesOfAnotherContent) {
  FakeSession session(small());
  Fill(session, {1, 2, 3, 4, 5, 6, 7, 8}, {0, 1});
  Fill(session, {9, 2, 3, 4}, {2});
  FakeStep unwritten(session);
  unwritten.Chain(unwritten.Sequence(8, {0, 3}), {9}, false);
  CheckWrong("position 4: page 3 was never written", unwritten);
  FakeStep swapped(session);
  swapped.Chain(swapped.Sequence(8, {1, 0}), {9}, false);
  CheckWrong("holds position 4 there", swapped);
  FakeStep mixed(session);
  mixed.Chain(mixed.Sequence(8, {2, 1}), {9}, false);
  CheckWrong("computed behind another prefix", mixed);
  FakeStep missing(session);
  missing.Chain(missing.Sequence(8, {0}), {9}, false);
  CheckWrong("page -1 is out of range", missing);
  FakeStep beyond(session);
  beyond.Chain(beyond.Sequence(8, {0, 99}), {9}, false);
  CheckWrong("page 99 is out of range", beyond);
}

TEST(FakeBackend, SeesSlotsThatAreWrong) {
  FakeSession session(small());
  const auto attempt = [&](const char* text, const std::function<void(FakeStep&)>& spoil) {
    FakeStep step(session);
    step.Chain(step.Sequence(0, {0}), {1, 2});
    step.Chain(step.Sequence(0, {1}), {3});
    spoil(step);
    CheckWrong(text, step);
  };
  attempt("is out of range", [](FakeStep& s) { s.slots[0][0] = 4 * 16; });
  attempt("is out of range", [](FakeStep& s) { s.slots[0][0] = -2; });
  attempt("does not fit position 1", [](FakeStep& s) { s.slots[0][1] = 2; });
  attempt("is written twice", [](FakeStep& s) { s.slots[0][2] = 0; });
  attempt("the page table of its sequence says page 0", [](FakeStep& s) { s.slots[0][0] = 4 * 7; });
  attempt("sequences 0 and 1 write one page", [](FakeStep& s) {
    s.seq_len[1] = 2;
    s.positions[2] = 2;
    s.slots[0][2] = 2;
    s.pages[0][8] = 0;
  });
}

TEST(FakeBackend, SeesAWriteUnderAReader) {
  FakeSession session(small());
  Fill(session, {1, 2}, {0});
  FakeStep step(session);
  step.Chain(step.Sequence(2, {0}), {3}, false);
  step.Chain(step.Sequence(0, {0}), {4});
  CheckWrong("overwritten in the step that reads it", step);
}

TEST(FakeBackend, SeesRowsThatAreWrong) {
  FakeSession session(small());
  const auto attempt = [&](const char* text, const std::function<void(FakeStep&)>& spoil) {
    FakeStep step(session);
    step.Chain(step.Sequence(0, {0}), {1, 2}, false);
    step.Chain(step.Sequence(0, {1}), {3}, false);
    spoil(step);
    CheckWrong(text, step);
  };
  attempt("row 1: position 3, it follows 0", [](FakeStep& s) { s.positions[1] = 3; });
  attempt("parent 1 is no earlier row", [](FakeStep& s) { s.parent[1] = 1; });
  attempt("parent 0 is of another sequence", [](FakeStep& s) { s.parent[2] = 0; });
  attempt("sequence 5 of 2", [](FakeStep& s) { s.seq[2] = 5; });
  attempt("sequence 1 has no rows", [](FakeStep& s) { s.seq[2] = 0; });
  attempt("out row 9", [](FakeStep& s) { s.out_rows[0] = 9; });
  attempt("token -1", [](FakeStep& s) { s.tokens[0] = -1; });
  FakeStep empty(session);
  CheckWrong("without rows", empty);
  UNSIGNED_LONGS_EQUAL(8, session.backend().violations().size());
}

TEST(FakeBackend, SeesAPrefixOfAnotherAdapter) {
  FakeModelOptions model = small();
  model.adapters = true;
  FakeSession session(model);
  Fill(session, {1, 2}, {0});
  FakeStep step(session);
  step.Chain(step.Sequence(2, {0}), {3});
  step.adapter = {1};
  CheckWrong("computed with adapter -1, read with 1", step);
}

TEST(FakeBackend, AnAdapterIsOneMoreTokenBeforeTheFirst) {
  FakeModelOptions model = small();
  model.adapters = true;
  FakeSession session(model);
  const float matrix[64] = {};
  // Two sites, a linear's and the head's.
  CHECK_OK(session.device().SetAdapter(session.adapters(), 1, 0, 2, matrix, matrix, 30));
  CHECK_OK(session.device().SetAdapter(session.adapters(), 1, 1, 2, matrix, matrix, 12));
  UNSIGNED_LONGS_EQUAL(1, session.backend().AdaptersHeld());
  UNSIGNED_LONGS_EQUAL(2, session.device().AdaptersBytes(session.adapters()));
  FakeStep step(session);
  step.Chain(step.Sequence(0, {0}), {3});
  step.Chain(step.Sequence(0, {1}), {3});
  step.adapter = {1, 2};
  CHECK_OK(step.Run());
  LONGS_EQUAL(FavouriteToken(std::vector<int32_t>{42, 3}, 64), step.Best(0));
  LONGS_EQUAL(FavouriteToken(std::vector<int32_t>{3}, 64), step.Best(1));
}

TEST(FakeBackend, SeesASlotThatChangesUnderAStep) {
  FakeModelOptions model = small();
  model.adapters = true;
  FakeOptions options;
  options.manual = true;
  FakeSession session(model, options);
  FakeStep step(session);
  step.Chain(step.Sequence(0, {0}), {3});
  step.adapter = {1};
  CHECK_OK(step.Enqueue());
  const float matrix[64] = {};
  const auto set = [&](uint32_t slot) {
    return session.device().SetAdapter(session.adapters(), slot, 0, 2, matrix, matrix, 1);
  };
  CHECK_OK(set(2));
  CHECK_ERROR(Code::kInvalid, "a run in flight has rows of slot 1", set(1));
  CHECK(session.backend().CompleteNext());
  CHECK_OK(step.Wait());
  CHECK_OK(set(1));
}

TEST(FakeBackend, LetsAWindowForgetItsPages) {
  FakeModelOptions model = small();
  model.windows = {0, 4};
  FakeSession session(model);
  Fill(session, Count(8), {0, 1});
  FakeStep step(session);
  step.Chain(step.Sequence(8, {0, 1, 2}), {50});
  step.pages[1][0] = -1;  // positions 0..3 are outside every window of 4 from position 8
  CHECK_OK(step.Run());
  std::vector<int32_t> context = Count(8);
  context.push_back(50);
  LONGS_EQUAL(Favourite(context), step.Best(0));
  FakeStep early(session);
  early.Chain(early.Sequence(6, {0, 1, 2}), {6}, false);
  early.pages[1][0] = -1;  // position 3 is inside the window from position 6
  CheckWrong("group 1, position 3: page -1", early);
}

TEST(FakeBackend, RunsAnEncoder) {
  FakeModelOptions model;
  model.is_encoder = true;
  FakeSession session(model);
  FakeStep step(session);
  step.Sequence(0, {});
  step.Sequence(0, {});
  for (int32_t token : {1, 2}) step.Row(0, token, -1);
  step.Row(1, 3, -1);
  step.out_rows = {0, 0};  // room for two vectors
  CHECK_OK(step.Run());
  std::vector<float> expected(8);
  minnow::test::FavouriteAnswer(std::vector<int32_t>{1, 2}, expected);
  for (size_t i = 0; i < 8; ++i) DOUBLES_EQUAL(expected[i], step.logits[i], 0);
  minnow::test::FavouriteAnswer(std::vector<int32_t>{3}, expected);
  for (size_t i = 0; i < 8; ++i) DOUBLES_EQUAL(expected[i], step.logits[8 + i], 0);
  CheckClean(session);
}

TEST(FakeBackend, CompletesLateAndOnItsOwnThread) {
  FakeOptions options;
  options.manual = true;
  FakeSession session(small(), options);
  FakeStep step(session);
  step.Chain(step.Sequence(0, {0}), {1});
  CHECK_OK(step.Enqueue());
  CHECK(session.backend().InFlight());
  UNSIGNED_LONGS_EQUAL(0, session.backend().counters().completed);
  CHECK(session.backend().CompleteNext());
  CHECK_OK(step.Wait());
  CHECK(!session.backend().InFlight());
  LONGS_EQUAL(Favourite({1}), step.Best(0));
  UNSIGNED_LONGS_EQUAL(1, session.backend().runs().size());
  LONGS_EQUAL(1, session.backend().runs()[0].n_tokens);
  CheckClean(session);
}

TEST(FakeBackend, SeesCallsUnderAStepInFlight) {
  FakeOptions options;
  options.manual = true;
  FakeSession session(small(), options);
  FakeStep first(session), second(session);
  first.Chain(first.Sequence(0, {0}), {1});
  second.Chain(second.Sequence(0, {1}), {2});
  CHECK_OK(first.Enqueue());
  CHECK_ERROR(Code::kInvalid, "run: called while a run", second.Enqueue());
  const mnw_page_edit clear = {0, -1, 9, 4};
  CHECK_ERROR(Code::kInvalid, "state_edit: called while a run",
              session.device().EditState(session.state(), {&clear, 1}));
  CHECK_OK(session.device().Plan(session.request()).status());
  CHECK(session.backend().CompleteNext());
  CHECK_OK(first.Wait());
}

TEST(FakeBackend, SeesInputsChangedInFlight) {
  FakeOptions options;
  options.manual = true;
  FakeSession session(small(), options);
  FakeStep step(session);
  step.Chain(step.Sequence(0, {0}), {1});
  CHECK_OK(step.Enqueue());
  step.tokens[0] = 2;
  CHECK(session.backend().CompleteNext());
  CHECK_ERROR(Code::kInvalid, "an input changed while its step was in flight", step.Wait());
}

TEST(FakeBackend, FailsWhenItIsTold) {
  FakeSession session(small());
  const auto run = [&] {
    FakeStep step(session);
    step.Chain(step.Sequence(0, {0}), {1});
    return step.Run();
  };
  session.backend().FailNextRun(MNW_INTERNAL, false);
  CHECK_ERROR(Code::kInternal, "injected into run", run());
  session.backend().FailNextRun(MNW_OUT_OF_MEMORY, true);
  CHECK_ERROR(Code::kExhausted, "injected into the step", run());
  CHECK_OK(run());
  session.backend().FailNextState();
  CHECK_ERROR(Code::kExhausted, "1099511627776 bytes needed",
              session.device().CreateState(session.spec()).status());
  session.backend().FailNextPlan(MNW_UNSUPPORTED);
  CHECK_ERROR(Code::kUnsupported, "injected into plan",
              session.device().Plan(session.request()).status());
  session.backend().FailNextRun(MNW_DEVICE_LOST, true);
  CHECK_ERROR(Code::kDeviceLost, "injected", run());
  CHECK_ERROR(Code::kDeviceLost, "lost earlier", run());
  CheckClean(session);
}

TEST(FakeBackend, CountsWhatIsAlive) {
  FakeSession session(small());
  UNSIGNED_LONGS_EQUAL(1, session.backend().counters().contexts);
  UNSIGNED_LONGS_EQUAL(2, session.backend().counters().weights);
  UNSIGNED_LONGS_EQUAL(1, session.backend().counters().states);
  UNSIGNED_LONGS_EQUAL(1, session.backend().counters().plans);
  { CHECK_OK(session.device().Plan(session.request()).status()); }
  UNSIGNED_LONGS_EQUAL(1, session.backend().counters().plans);
  const mnw_weight_source again = {sizeof again, session.graph().weights()[0], "x", 1};
  CHECK_ERROR(Code::kInvalid, "handed over twice",
              session.device().LoadWeights(*session.graph().view(), {&again, 1}).status());
}
