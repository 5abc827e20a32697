// Engine, executor and jobs over a backend that completes late, from its own thread, and knows what
// each row must stand on.
#include "engine/engine.h"

#include <chrono>
#include <random>
#include <thread>

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::engine::Engine;
using minnow::engine::EngineStats;
using minnow::engine::FinishReason;
using minnow::engine::GeneratedToken;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::LogSumExp;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::test::Answer;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedScore;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeAnswer;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FavouriteAnswer;
using minnow::test::Prompt;
using minnow::test::Request;
using minnow::test::Taken;

namespace {

FakeEngineOptions Manual() {
  FakeEngineOptions options;
  options.backend.manual = true;
  return options;
}

// Requests of many lengths, greedy and drawn, of both priorities.
std::vector<GenerateRequest> MixedRequests(size_t n, uint32_t seed, uint32_t n_ctx) {
  std::mt19937 rng(seed);
  const auto below = [&](uint32_t limit) { return static_cast<uint32_t>(rng() % limit); };
  std::vector<GenerateRequest> requests;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t max_tokens = 1 + below(12);
    GenerateRequest request =
        Request(Prompt(1 + below(n_ctx - max_tokens), below(1u << 30)), max_tokens,
                below(2) ? Priority::kInteractive : Priority::kBatch);
    if (below(2)) request.sampling = {.temperature = 2, .top_p = 0.95f, .seed = below(1000)};
    requests.push_back(std::move(request));
  }
  return requests;
}

void CheckCancelled(const AskedGenerate& asked) {
  LONGS_EQUAL(FinishReason::kCancelled, asked.Wait().finish_reason);
  CHECK_OK(asked.Wait().status);
}

// Completes steps until the request has ended. A step that is done may not have been delivered yet,
// so the next one is only waited for when it is in flight.
void StepUntilDone(FakeEngine& fake, const AskedGenerate& asked) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  while (asked.answer->count() == 0) {
    CHECK(std::chrono::steady_clock::now() < deadline);
    if (fake.backend.InFlight()) {
      CHECK(fake.backend.CompleteNext());
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

// The requests together give what each must give alone.
void CheckTogether(const FakeEngineOptions& options, const std::vector<GenerateRequest>& requests,
                   const FakeAnswer& answer = FavouriteAnswer) {
  FakeEngine fake(options);
  std::vector<AskedGenerate> asked;
  for (const GenerateRequest& r : requests) asked.push_back(Ask(fake.engine(), r));
  for (size_t i = 0; i < requests.size(); ++i) {
    CheckTokens(Expected(requests[i], 64, answer), asked[i].Wait());
    LONGS_EQUAL(FinishReason::kLength, asked[i].Wait().finish_reason);
    LONGS_EQUAL(1, asked[i].answer->count());
  }
  fake.CheckAtRest();
}

}  // namespace

TEST_GROUP(Engine){};

TEST(Engine, AnswersOneRequest) {
  FakeEngine fake;
  const GenerateRequest request = Request(Prompt(100, 1), 20);
  const AskedGenerate asked = Ask(fake.engine(), request);
  CheckTokens(Expected(request), asked.Wait());
  UNSIGNED_LONGS_EQUAL(100, asked.Wait().usage.prompt_tokens);
  UNSIGNED_LONGS_EQUAL(20, asked.Wait().usage.completion_tokens);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(20, fake.engine().stats().steps);
  UNSIGNED_LONGS_EQUAL(119, fake.engine().stats().rows);
}

TEST(Engine, NeighboursDoNotMatter) { CheckTogether({}, MixedRequests(64, 1, 256)); }

TEST(Engine, ChunksDoNotMatter) {
  for (uint32_t step_tokens : {1u, 7u, 64u}) {
    FakeEngineOptions options;
    options.engine.step_tokens = step_tokens;
    CheckTogether(options, MixedRequests(step_tokens == 1 ? 8 : 40, 2, 256));
  }
}

TEST(Engine, FewSequencesPagesAndRowsOfLogitsOnlyMakeRequestsWait) {
  FakeEngineOptions options;
  options.instance.max_seqs = 3;
  options.instance.max_out = 2;
  options.instance.kv_tokens = 288;  // 9 pages: one long request, or a few short ones
  CheckTogether(options, MixedRequests(60, 3, 256));
}

TEST(Engine, WindowedLayersReadNoPageThatWentBack) {
  FakeEngineOptions options;
  options.model.windows = {0, 40};
  options.engine.step_tokens = 24;
  CheckTogether(options, MixedRequests(40, 4, 256));
}

// Pages are scarce and only windowed: they change hands while their old owners still run.
TEST(Engine, WindowedSequencesShareFewPages) {
  FakeEngineOptions options;
  options.model.windows = {40};
  options.model.n_ctx = 1024;
  options.engine.step_tokens = 24;
  options.instance.kv_tokens = 10 * 32;
  const FakeAnswer answer = [](std::span<const TokenId> context, std::span<float> out) {
    FavouriteAnswer(context.last(std::min<size_t>(40, context.size())), out);
  };
  options.backend.answer = answer;
  CheckTogether(options, MixedRequests(30, 5, 500), answer);
}

TEST(Engine, LogprobsAreOfTheContextOfEachToken) {
  FakeEngine fake;
  GenerateRequest request = Request(Prompt(5, 1), 4);
  request.n_logprobs = 3;
  const AskedGenerate asked = Ask(fake.engine(), request);
  std::vector<TokenId> context = request.prompt;
  for (const GeneratedToken& token : asked.Wait().tokens) {
    std::vector<float> logits(64);
    FavouriteAnswer(context, logits);
    UNSIGNED_LONGS_EQUAL(3, token.top.size());
    LONGS_EQUAL(token.token, token.top[0].token);
    DOUBLES_EQUAL(logits[static_cast<size_t>(token.token)] - LogSumExp(logits), token.logprob,
                  1e-6);
    context.push_back(token.token);
  }
}

TEST(Engine, InteractiveRequestsOvertakeWaitingBatchOnes) {
  FakeEngineOptions options = Manual();
  options.instance.max_seqs = 1;
  FakeEngine fake(options);
  const AskedGenerate first = Ask(fake.engine(), Request(Prompt(5, 1), 1, Priority::kBatch));
  while (!fake.backend.InFlight()) std::this_thread::yield();
  const AskedGenerate batch = Ask(fake.engine(), Request(Prompt(5, 2), 1, Priority::kBatch));
  const AskedGenerate urgent = Ask(fake.engine(), Request(Prompt(5, 3), 1));
  StepUntilDone(fake, first);
  StepUntilDone(fake, urgent);
  LONGS_EQUAL(0, batch.answer->count());
  StepUntilDone(fake, batch);
  fake.CheckAtRest();
}

TEST(Engine, RefusesWhatItCannotRun) {
  FakeEngineOptions options;
  options.instance.kv_tokens = 128;
  FakeEngine fake(options);
  const auto refuse = [&](Code code, const char* text, GenerateRequest request) {
    request.on_done = [](GenerateResult) { FAIL("on_done of a refused request"); };
    CHECK_ERROR(code, text, fake.engine().Generate(std::move(request)).status());
  };
  refuse(Code::kInvalid, "empty", Request({}, 1));
  refuse(Code::kInvalid, "token 64 is not in the vocabulary of 64", Request({1, 64}, 1));
  refuse(Code::kInvalid, "token -1", Request({-1}, 1));
  refuse(Code::kInvalid, "max_tokens", Request({1}, 0));
  refuse(Code::kOutOfRange, "prompt of 250 tokens and answer of up to 7 exceed the context of 256",
         Request(Prompt(250, 1), 7));
  refuse(Code::kOutOfRange, "prompt of 1 tokens and answer of up to 4294967295",
         Request(Prompt(1, 1), ~0u));
  refuse(Code::kOutOfRange, "129 tokens exceed the cache", Request(Prompt(100, 1), 29));
  GenerateRequest request = Request({1}, 1);
  request.sampling.top_p = 2;
  refuse(Code::kInvalid, "top_p", request);
  request = Request({1}, 1);
  request.stop = {"a", ""};
  refuse(Code::kInvalid, "stop string", request);

  const auto refuse_score = [&](Code code, const char* text, std::vector<ScoreRequest::Node> tree) {
    CHECK_ERROR(code, text,
                fake.engine().Score({{1}, std::move(tree), Priority::kBatch, {}}).status());
  };
  refuse_score(Code::kInvalid, "nothing to score", {});
  refuse_score(Code::kInvalid, "node 0 of the tree has parent 0", {{0, 1}});
  refuse_score(Code::kInvalid, "node 1 of the tree has parent -2", {{-1, 1}, {-2, 1}});
  refuse_score(Code::kInvalid, "token 99", {{-1, 99}});
  std::vector<ScoreRequest::Node> deep;
  for (int32_t i = 0; i < 513; ++i) deep.push_back({i - 1, 1});
  refuse_score(Code::kOutOfRange, "has 513 tokens and a step has 512", deep);
  CHECK_ERROR(Code::kInvalid, "logits", fake.engine().Logits({{1}, 1, {}, {}}).status());
  fake.CheckAtRest();
}

TEST(Engine, AFullQueueRefusesUntilSomethingRuns) {
  FakeEngineOptions options = Manual();
  options.instance.max_seqs = 1;
  options.engine.max_queued = 3;
  FakeEngine fake(options);
  std::vector<AskedGenerate> asked;
  asked.push_back(Ask(fake.engine(), Request(Prompt(5, 1), 1)));
  while (fake.engine().stats().queued > 0 || !fake.backend.InFlight()) std::this_thread::yield();
  for (uint32_t i = 0; i < 3; ++i) asked.push_back(Ask(fake.engine(), Request(Prompt(5, i), 1)));
  CHECK_ERROR(Code::kExhausted, "3 requests wait",
              fake.engine().Generate(Request(Prompt(5, 9), 1)).status());
  for (const AskedGenerate& a : asked) StepUntilDone(fake, a);
  fake.CheckAtRest();
  StepUntilDone(fake, Ask(fake.engine(), Request(Prompt(5, 9), 1)));
}

TEST(Engine, EndsRequestsAtTheirDeadlinesWhereverTheyAre) {
  FakeEngineOptions options = Manual();
  options.instance.max_seqs = 2;
  FakeEngine fake(options);
  const auto now = minnow::engine::Clock::now();
  const GenerateRequest steady_request = Request(Prompt(10, 1), 20);
  const AskedGenerate steady = Ask(fake.engine(), steady_request);
  GenerateRequest soon = Request(Prompt(3, 2), 100);
  soon.deadline = now + std::chrono::milliseconds(300);
  const AskedGenerate decoding = Ask(fake.engine(), std::move(soon));
  for (int i = 0; i < 3; ++i) CHECK(fake.backend.CompleteNext());
  GenerateRequest late = Request(Prompt(10, 4), 5);
  late.deadline = now;
  const AskedGenerate queued = Ask(fake.engine(), std::move(late));
  std::this_thread::sleep_until(now + std::chrono::milliseconds(301));
  CHECK(fake.backend.CompleteNext());  // the step that is in flight, no more
  for (const AskedGenerate* a : {&decoding, &queued}) {
    LONGS_EQUAL(FinishReason::kError, a->Wait().finish_reason);
    CHECK_ERROR(Code::kDeadline, "deadline", a->Wait().status);
  }
  CHECK(queued.Wait().tokens.empty());
  StepUntilDone(fake, steady);
  CheckTokens(Expected(steady_request), steady.Wait());
  fake.CheckAtRest();
}

TEST(Engine, CancelsWhereverTheRequestIs) {
  FakeEngineOptions options = Manual();
  options.instance.max_seqs = 3;
  options.engine.step_tokens = 16;
  FakeEngine fake(options);
  const GenerateRequest steady_request = Request(Prompt(10, 1), 20);
  const AskedGenerate steady = Ask(fake.engine(), steady_request);
  const AskedGenerate decoding = Ask(fake.engine(), Request(Prompt(3, 2), 100));
  for (int i = 0; i < 4; ++i) CHECK(fake.backend.CompleteNext());
  const AskedGenerate prefilling = Ask(fake.engine(), Request(Prompt(200, 3), 5));
  const AskedGenerate queued = Ask(fake.engine(), Request(Prompt(10, 4), 5));
  for (int i = 0; i < 2; ++i) CHECK(fake.backend.CompleteNext());

  for (const AskedGenerate* a : {&decoding, &prefilling, &queued}) {
    fake.engine().Cancel(a->id);
    fake.engine().Cancel(a->id);
  }
  CHECK(fake.backend.CompleteNext());  // the step that is in flight, no more
  for (const AskedGenerate* a : {&decoding, &prefilling, &queued}) CheckCancelled(*a);
  CHECK(!decoding.Wait().tokens.empty());
  CHECK(prefilling.Wait().tokens.empty());
  while (!fake.backend.InFlight()) std::this_thread::yield();
  UNSIGNED_LONGS_EQUAL(1, fake.backend.runs().back().n_seqs);

  StepUntilDone(fake, steady);
  CheckTokens(Expected(steady_request), steady.Wait());
  fake.engine().Cancel(steady.id);
  fake.engine().Cancel(123456);
  fake.CheckAtRest();
  for (const AskedGenerate* a : {&steady, &decoding, &prefilling, &queued})
    LONGS_EQUAL(1, a->answer->count());
}

TEST(Engine, PagesOfACancelledRequestServeTheNext) {
  FakeEngineOptions options = Manual();
  options.instance.kv_tokens = 256;
  FakeEngine fake(options);
  const AskedGenerate first = Ask(fake.engine(), Request(Prompt(200, 1), 50));
  CHECK(fake.backend.CompleteNext());
  const GenerateRequest request = Request(Prompt(220, 2), 3);
  const AskedGenerate second = Ask(fake.engine(), request);
  CHECK(fake.backend.CompleteNext());
  fake.engine().Cancel(first.id);
  StepUntilDone(fake, second);
  CheckTokens(Expected(request), second.Wait());
  CheckCancelled(first);
  fake.CheckAtRest();
}

TEST(Engine, ACallbackMayCancelAndAskAgain) {
  FakeEngine fake;
  const auto second = std::make_shared<Answer<GenerateResult>>();
  Engine* engine = &fake.engine();
  GenerateRequest request = Request(Prompt(5, 1), 2);
  request.on_done = [engine, second](GenerateResult) {
    GenerateRequest next = Request(Prompt(6, 2), 3);
    next.on_done = [second](GenerateResult r) { second->Set(std::move(r)); };
    const auto id = engine->Generate(std::move(next));
    if (id.ok()) engine->Cancel(*id);
  };
  CHECK_OK(engine->Generate(std::move(request)).status());
  LONGS_EQUAL(FinishReason::kCancelled, second->Wait().finish_reason);
  fake.CheckAtRest();
}

TEST(Engine, AFailedStepEndsOnlyTheRequestsWithRowsInIt) {
  for (const bool late : {false, true}) {
    FakeEngineOptions options = Manual();
    options.engine.step_tokens = 16;
    FakeEngine fake(options);
    const AskedGenerate first = Ask(fake.engine(), Request(Prompt(3, 1), 100));
    CHECK(fake.backend.CompleteNext());
    // The first alone; what is asked now enters the step after it.
    while (!fake.backend.InFlight()) std::this_thread::yield();
    const AskedGenerate second = Ask(fake.engine(), Request(Prompt(40, 2), 100));
    const GenerateRequest request = Request(Prompt(30, 3), 5);  // no rows: the second takes them
    const AskedGenerate third = Ask(fake.engine(), request);
    fake.backend.FailNextRun(MNW_INTERNAL, late);
    CHECK(fake.backend.CompleteNext());
    StepUntilDone(fake, first);
    StepUntilDone(fake, second);
    for (const AskedGenerate* a : {&first, &second}) {
      LONGS_EQUAL(FinishReason::kError, a->Wait().finish_reason);
      CHECK_ERROR(Code::kInternal, "injected into", a->Wait().status);
    }
    LONGS_EQUAL(0, third.answer->count());
    StepUntilDone(fake, third);
    CheckTokens(Expected(request), third.Wait());
    fake.CheckAtRest();
  }
}

TEST(Engine, ALostDeviceEndsEveryRequestAndRefusesMore) {
  for (const bool late : {false, true}) {
    FakeEngine fake;
    fake.backend.FailNextRun(MNW_DEVICE_LOST, late);
    const AskedGenerate asked = Ask(fake.engine(), Request(Prompt(5, 1), 3));
    CHECK_ERROR(Code::kDeviceLost, "fake: ", asked.Wait().status);
    CHECK_ERROR(Code::kDeviceLost,
                "fake: ", fake.engine().Generate(Request(Prompt(5, 2), 3)).status());
    fake.CheckAtRest();
  }
}

TEST(Engine, TheFirstNonFiniteLogitEndsItsRequestAlone) {
  FakeEngineOptions options;
  options.backend.answer = [](std::span<const TokenId> context, std::span<float> out) {
    FavouriteAnswer(context, out);
    if (context[0] == 13 && context.size() % 2 == 1) out[7] = std::nanf("");
    if (context[0] == 14) out[9] = -HUGE_VALF;
  };
  FakeEngine fake(options);
  GenerateRequest good = Request(Prompt(20, 1), 10);
  good.prompt[0] = 1;
  const AskedGenerate bad = Ask(fake.engine(), Request({13, 1, 2}, 10));
  // The rows of its tree are finite.
  const AskedScore bad_score =
      Ask(fake.engine(), {{13}, {{-1, 1}, {0, 2}}, Priority::kInteractive, {}});
  const AskedGenerate infinite = Ask(fake.engine(), Request({14, 1, 2}, 10));
  const AskedGenerate neighbour = Ask(fake.engine(), good);
  CHECK_ERROR(Code::kInternal, "non-finite logits (nan for token 7 at position 2)",
              bad.Wait().status);
  LONGS_EQUAL(0, bad.Wait().tokens.size());
  CHECK_ERROR(Code::kInternal, "non-finite logits (nan for token 7 at position 0)",
              bad_score.Wait().status);
  CHECK_ERROR(Code::kInternal, "non-finite logits (-inf for token 9 at position 2)",
              infinite.Wait().status);
  CheckTokens(Expected(good), neighbour.Wait());
  fake.CheckAtRest();
}

TEST(Engine, ShutdownEndsWhatRunsAndWhatWaits) {
  FakeEngineOptions options = Manual();
  options.instance.max_seqs = 2;
  options.model.n_ctx = 1 << 16;
  FakeEngine fake(options);
  std::vector<AskedGenerate> asked;
  // Longer than a late thread lets steps run before it shuts down.
  for (uint32_t i = 0; i < 5; ++i) {
    asked.push_back(Ask(fake.engine(), Request(Prompt(5, i), 60000)));
  }
  for (int i = 0; i < 3; ++i) CHECK(fake.backend.CompleteNext());
  while (!fake.backend.InFlight()) std::this_thread::yield();
  fake.Shutdown();
  for (const AskedGenerate& a : asked) {
    LONGS_EQUAL(1, a.answer->count());
    CHECK_ERROR(Code::kUnavailable, "shutting down", a.Wait().status);
  }
  fake.CheckNoViolation();
}

// See turns_test.cc for how much each gets.
TEST(Engine, EnginesOnOneExecutorTakeTurns) {
  FakeEngine fake;
  const auto other_instance = fake.Create();
  Engine other(fake.executor, *other_instance);
  const GenerateRequest longer = Request(Prompt(10, 1), 200);
  std::vector<AskedGenerate> many;
  EngineStats stats[2];
  Answer<GenerateResult> one;
  GenerateRequest shorter = Request(Prompt(10, 2), 50);
  shorter.on_done = [&](GenerateResult result) {
    stats[0] = fake.engine().stats();
    stats[1] = other.stats();
    one.Set(std::move(result));
  };
  // Both are there before the first step.
  fake.executor.Call([&] {
    for (uint32_t i = 0; i < 30; ++i) many.push_back(Ask(fake.engine(), longer));
    Taken(other.Generate(shorter));
  });
  CheckTokens(Expected(shorter), one.Wait());
  CHECK(stats[0].steps > 0);
  CHECK(stats[1].steps >= 45);
  CHECK(stats[0].rows < 30 * 209);  // the many are not done
  for (const AskedGenerate& a : many) CheckTokens(Expected(longer), a.Wait());
  fake.CheckAtRest();
}

TEST(Engine, OneEngineMayLeaveWhileAnotherWorks) {
  FakeEngine fake;
  const auto other_instance = fake.Create();
  auto other = std::make_unique<Engine>(fake.executor, *other_instance);
  const GenerateRequest request = Request(Prompt(10, 1), 200);
  const AskedGenerate stays = Ask(fake.engine(), request);
  const AskedGenerate goes = Ask(*other, request);
  other.reset();
  LONGS_EQUAL(1, goes.answer->count());
  CheckTokens(Expected(request), stays.Wait());
  fake.CheckAtRest();
}
