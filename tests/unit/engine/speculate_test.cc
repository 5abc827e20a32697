// Generation with guesses that are right as often as the test wants: tokens, log-probabilities and
// pages are those of generation without.
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "build_tree.h"
#include "engine/fake_engine.h"
#include "engine/replay_draft.h"

using minnow::Code;
using minnow::engine::FinishReason;
using minnow::engine::GeneratedToken;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CheckTokens;
using minnow::test::CpuEngine;
using minnow::test::Expected;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FavouriteAnswer;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::Prompt;
using minnow::test::ReplayDraft;
using minnow::test::Request;
using minnow::test::TokensOf;

namespace {

void CheckSame(const GenerateResult& expected, const GenerateResult& got) {
  CheckTokens(TokensOf(expected), got);
  for (size_t i = 0; i < got.tokens.size(); ++i) {
    const GeneratedToken &a = expected.tokens[i], &b = got.tokens[i];
    CHECK(std::memcmp(&a.logprob, &b.logprob, sizeof a.logprob) == 0);
    UNSIGNED_LONGS_EQUAL(a.top.size(), b.top.size());
    for (size_t k = 0; k < a.top.size(); ++k) {
      LONGS_EQUAL(a.top[k].token, b.top[k].token);
      CHECK(std::memcmp(&a.top[k].logprob, &b.top[k].logprob, sizeof(float)) == 0);
    }
  }
  STRCMP_EQUAL(expected.text.c_str(), got.text.c_str());
  STRCMP_EQUAL(expected.stop_string.c_str(), got.stop_string.c_str());
  LONGS_EQUAL(expected.finish_reason, got.finish_reason);
  UNSIGNED_LONGS_EQUAL(expected.usage.completion_tokens, got.usage.completion_tokens);
}

GenerateRequest Plain(GenerateRequest request) {
  request.speculate = false;
  return request;
}

// The same request with guesses out of this answer.
GenerateRequest Guessed(GenerateRequest request, std::vector<TokenId> answer,
                        ReplayDraft::Options options) {
  options.prompt = request.prompt.size();
  options.answer = std::move(answer);
  request.draft = std::make_shared<ReplayDraft>(std::move(options));
  return request;
}

GenerateRequest AnyRequest(std::mt19937& rng, uint32_t max_tokens) {
  GenerateRequest request = Request(Prompt(1 + rng() % 90, rng()), max_tokens);
  if (rng() % 2) request.sampling = {.temperature = 3, .top_p = 0.9f, .seed = rng() % 100};
  request.n_logprobs = rng() % 3;
  return request;
}

// Several together: each gives what it gives alone and without guesses.
void CheckTogether(const FakeEngineOptions& options, bool tree) {
  FakeEngine fake(options);
  std::mt19937 rng(5);
  for (const double acceptance : {0.0, 0.5, 0.9, 1.0}) {
    std::vector<AskedGenerate> plain, guessed;
    for (const uint32_t max_tokens : {1, 2, 3, 31, 33, 100}) {
      const GenerateRequest request = AnyRequest(rng, max_tokens);
      plain.push_back(Ask(fake.engine(), Plain(request)));
      guessed.push_back(
          Ask(fake.engine(), Guessed(request, Expected(request),
                                     {.acceptance = acceptance, .tree = tree, .seed = rng()})));
    }
    for (size_t i = 0; i < plain.size(); ++i) CheckSame(plain[i].Wait(), guessed[i].Wait());
  }
  fake.CheckAtRest();
}

FakeEngineOptions Windows() {
  FakeEngineOptions options;
  options.model.windows = {0, 40, 33};
  return options;
}

FakeEngineOptions Tight() {
  FakeEngineOptions options = Windows();
  options.instance.max_out = 5;
  options.instance.max_seqs = 3;
  options.engine.step_tokens = 7;
  options.instance.kv_tokens = 32 * 14;
  return options;
}

// Completes steps until all have ended.
void CompleteAll(FakeEngine& fake, const std::vector<AskedGenerate>& asked) {
  for (const AskedGenerate& a : asked) {
    while (a.answer->count() == 0) {
      if (fake.backend.InFlight()) CHECK(fake.backend.CompleteNext());
      std::this_thread::yield();
    }
  }
}

}  // namespace

TEST_GROUP(Speculate){};

TEST(Speculate, TheAnswerIsTheSameHoweverOftenTheGuessesAreRight) { CheckTogether({}, false); }

TEST(Speculate, TheAnswerIsTheSameWithWindows) { CheckTogether(Windows(), false); }

TEST(Speculate, TheAnswerIsTheSameWithBranches) {
  CheckTogether({}, true);
  CheckTogether(Windows(), true);
}

TEST(Speculate, TheAnswerIsTheSameWhereAStepHasFewRows) {
  CheckTogether(Tight(), false);
  CheckTogether(Tight(), true);
}

TEST(Speculate, TheAnswerIsTheSameThroughAnAdapter) {
  FakeEngineOptions options;
  options.model.adapters = true;
  FakeEngine fake(options);
  const auto id = fake.engine().LoadAdapter(minnow::test::FakeAdapter(fake.instance(), 7));
  CHECK_OK(id.status());
  GenerateRequest request = Request(Prompt(20, 1), 60);
  request.adapter = *id;
  const auto expected = Expected(request, 64, minnow::test::AnswerThrough(7));
  const AskedGenerate asked = Ask(fake.engine(), Guessed(request, expected, {.acceptance = 0.8}));
  CheckTokens(expected, asked.Wait());
  CHECK(asked.Wait().usage.accepted_tokens > 20);
  fake.CheckAtRest();
}

TEST(Speculate, EveryGuessThatIsRightSavesAStep) {
  for (const double acceptance : {0.0, 0.6, 1.0}) {
    FakeEngine fake;
    const GenerateRequest request = Request(Prompt(30, 1), 100);
    const auto asked =
        Ask(fake.engine(), Guessed(request, Expected(request), {.acceptance = acceptance}));
    const GenerateResult& result = asked.Wait();
    fake.CheckAtRest();
    const auto stats = fake.engine().stats();
    UNSIGNED_LONGS_EQUAL(100 - result.usage.accepted_tokens, stats.steps);
    UNSIGNED_LONGS_EQUAL(30 + stats.steps - 1 + result.usage.drafted_tokens, stats.rows);
    UNSIGNED_LONGS_EQUAL(result.usage.accepted_tokens, fake.backend.counters().rows_committed);
    if (acceptance == 0) UNSIGNED_LONGS_EQUAL(0, result.usage.accepted_tokens);
    if (acceptance == 1) UNSIGNED_LONGS_EQUAL(5, stats.steps);  // the prompt's, then 4 * 25 - 1
    CHECK(result.usage.drafted_tokens > 0);
  }
}

// The fake's answers are noise, but now and then a loop; whether that pays is a matter of time, the
// answer is not.
TEST(Speculate, GuessesFromThePromptChangeNothingButTheSpeed) {
  FakeEngineOptions options = Windows();
  options.backend.answer = [](std::span<const int32_t> context, std::span<float> out) {
    FavouriteAnswer(context.last(std::min<size_t>(context.size(), 2)), out);
  };
  FakeEngine fake(options);
  uint32_t accepted = 0;
  for (uint32_t i = 0; i < 10; ++i) {
    GenerateRequest request = Request(Prompt(40, i), 150);
    if (i % 3 == 0) request.sampling = {.temperature = 0.5, .seed = i};
    const auto asked = Ask(fake.engine(), request);
    CheckTokens(Expected(request, 64, options.backend.answer), asked.Wait());
    accepted += asked.Wait().usage.accepted_tokens;
    UNSIGNED_LONGS_EQUAL(0, Ask(fake.engine(), Plain(request)).Wait().usage.drafted_tokens);
  }
  CHECK(accepted > 0);
  fake.CheckAtRest();
}

TEST(Speculate, GuessesYieldToTheRowsOfOthers) {
  FakeEngineOptions options;
  options.instance.max_out = 3;
  options.instance.max_seqs = 3;
  options.backend.manual = true;
  FakeEngine fake(options);
  std::vector<AskedGenerate> asked;
  for (uint32_t i = 0; i < 3; ++i) {
    const GenerateRequest request = Request(Prompt(10, i), 20);
    asked.push_back(Ask(fake.engine(), Guessed(request, Expected(request), {})));
  }
  CompleteAll(fake, asked);
  // Requests may have come in one after another, but once all three are there nothing is left.
  bool together = false;
  for (const auto& run : fake.backend.runs()) {
    together |= run.n_seqs == 3;
    CHECK(run.n_out <= 3);
    if (run.n_seqs == 3 && together) CHECK(run.n_out == 3 || run.n_tokens > 3);
  }
  for (uint32_t i = 0; i < 3; ++i) {
    CheckTokens(Expected(Request(Prompt(10, i), 20)), asked[i].Wait());
  }
  fake.CheckAtRest();
}

// Two that outgrow the cache: where no page is left for what was guessed right, it is computed
// again.
TEST(Speculate, WhatFindsNoPageIsComputedLater) {
  FakeEngineOptions options;
  options.instance.kv_tokens = 32 * 5;
  options.backend.manual = true;  // both are there from the second step on
  FakeEngine fake(options);
  std::vector<GenerateRequest> requests;
  std::vector<AskedGenerate> asked;
  for (uint32_t i = 0; i < 2; ++i) {
    requests.push_back(Request(Prompt(20, i), 100));
    asked.push_back(Ask(fake.engine(), Guessed(requests[i], Expected(requests[i]), {.most = 6})));
  }
  CompleteAll(fake, asked);
  uint32_t accepted = 0;
  for (uint32_t i = 0; i < 2; ++i) {
    CheckTokens(Expected(requests[i]), asked[i].Wait());
    accepted += asked[i].Wait().usage.accepted_tokens;
  }
  fake.CheckAtRest();
  CHECK(fake.engine().stats().preemptions > 0);
  CHECK(fake.backend.counters().rows_committed < accepted);
}

TEST(Speculate, NothingIsGuessedWhereItCouldNotBeTakenBackOrWouldChangeBits) {
  FakeEngineOptions recurrent, level_a, no_level;
  recurrent.model.recurrent = true;
  level_a.backend.repeatability = 'A';
  no_level.backend.repeatability = '\0';
  for (const FakeEngineOptions& options : {recurrent, level_a, no_level}) {
    FakeEngine fake(options);
    const GenerateRequest request = Request(Prompt(30, 1), 40);
    const auto asked = Ask(fake.engine(), Guessed(request, Expected(request), {}));
    CheckTokens(Expected(request), asked.Wait());
    UNSIGNED_LONGS_EQUAL(0, asked.Wait().usage.drafted_tokens);
    fake.CheckAtRest();
  }
}

// After a wrong guess the model may say anything, even that it is broken.
TEST(Speculate, WhatFollowsAWrongGuessIsNotLookedAt) {
  static constexpr TokenId kNever = 63;
  FakeEngineOptions options;
  options.backend.answer = [](std::span<const int32_t> context, std::span<float> out) {
    FavouriteAnswer(context, out);
    out[kNever] = -1;
    if (std::find(context.begin(), context.end(), kNever) != context.end()) {
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
    }
  };
  FakeEngine fake(options);
  GenerateRequest request = Request(Prompt(30, 2, 60), 60);
  const auto expected = Expected(request, 64, options.backend.answer);
  const auto asked =
      Ask(fake.engine(), Guessed(request, expected, {.acceptance = 0.6, .wrong = kNever}));
  CheckTokens(expected, asked.Wait());
  CHECK(asked.Wait().usage.drafted_tokens > asked.Wait().usage.accepted_tokens);
  fake.CheckAtRest();
}

TEST(Speculate, ARequestCancelledInsideARunKeepsWhatItHad) {
  for (const uint32_t after : {1, 2, 10, 30}) {
    FakeEngine fake(Windows());
    GenerateRequest request = Request(Prompt(30, 1), 100);
    const auto expected = Expected(request);
    const auto other = Ask(fake.engine(), Guessed(request, expected, {.acceptance = 0.8}));
    const AskedGenerate asked = Ask(fake.engine(), Guessed(request, expected, {.acceptance = 0.9}));
    while (fake.engine().stats().steps < after && asked.answer->count() == 0) {
      std::this_thread::yield();
    }
    fake.engine().Cancel(asked.id);
    std::vector<TokenId> made = TokensOf(asked.Wait());
    CHECK(std::equal(made.begin(), made.end(), expected.begin()));
    CheckTokens(expected, other.Wait());
    fake.CheckAtRest();
  }
}

TEST(Speculate, WhatCannotBeKeptEndsItsRequestAlone) {
  FakeEngine fake(Windows());
  const GenerateRequest request = Request(Prompt(30, 1), 60),
                        plain = Plain(Request(Prompt(9, 2), 99));
  const auto beside = Ask(fake.engine(), plain);
  fake.backend.FailNextCommit(MNW_OUT_OF_MEMORY);
  const auto asked = Ask(fake.engine(), Guessed(request, Expected(request), {}));
  CHECK_ERROR(Code::kExhausted, "state_commit", asked.Wait().status);
  CheckTokens(Expected(plain), beside.Wait());
  CheckTokens(Expected(request),
              Ask(fake.engine(), Guessed(request, Expected(request), {})).Wait());
  fake.CheckAtRest();
}

TEST(Speculate, ADeviceLostWhileKeepingIsLost) {
  FakeEngine fake;
  fake.backend.FailNextCommit(MNW_DEVICE_LOST);
  const GenerateRequest request = Request(Prompt(30, 1), 60);
  const auto asked = Ask(fake.engine(), Guessed(request, Expected(request), {}));
  CHECK(asked.Wait().status.code() == Code::kDeviceLost);
  fake.CheckAtRest();
}

TEST(Speculate, StopStringsAndTheEndOfTheTurnEndARun) {
  CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")));
  std::mt19937 rng(2);
  int ended = 0, stopped = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    GenerateRequest request;
    request.prompt = {0, 40, 50, 60};
    request.max_tokens = 60;
    request.n_logprobs = 2;
    request.sampling = {.temperature = seed % 2 ? 8.0f : 1.5f, .seed = seed};
    request.ignore_end = true;
    const GenerateResult whole = Ask(cpu.engine(), Plain(request)).Wait();
    request.ignore_end = false;
    if (seed % 2 == 0 && whole.text.size() > 25)
      request.stop = {whole.text.substr(10 + rng() % 10, 2 + rng() % 2)};
    const GenerateResult plain = Ask(cpu.engine(), Plain(request)).Wait();
    std::string streamed;
    request.on_token = [&](std::string_view text, const GeneratedToken&) { streamed += text; };
    const auto guessed =
        Ask(cpu.engine(), Guessed(request, TokensOf(whole), {.acceptance = seed % 3 ? 1 : 0.9}));
    CheckSame(plain, guessed.Wait());
    STRCMP_EQUAL(plain.text.c_str(), streamed.c_str());
    CHECK(guessed.Wait().usage.accepted_tokens < plain.tokens.size() + 1);
    stopped += !plain.stop_string.empty();
    ended += plain.finish_reason == FinishReason::kStop && plain.stop_string.empty();
  }
  CHECK(stopped > 5);
  CHECK(ended > 0);
}
