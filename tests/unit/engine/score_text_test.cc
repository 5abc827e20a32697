// Continuations and whole texts over the CPU backend, against the logits of the whole sequence.
#include <cmath>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/sampler.h"
#include "engine/score.h"

using minnow::Code;
using minnow::engine::ContinuationScore;
using minnow::engine::ContinuationsRequest;
using minnow::engine::LogSumExp;
using minnow::engine::ScoreContinuations;
using minnow::engine::TokenId;
using minnow::test::Asked;
using minnow::test::CpuEngine;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;

using Scored = minnow::engine::ScoreResult;
using Tokens = std::vector<TokenId>;

TEST_GROUP(ScoreText) {
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"))};

  static Tokens Text(size_t n, size_t from = 0) {
    Tokens tokens;
    for (size_t i = from; i < from + n; ++i) tokens.push_back(TokenId(30 + i * 53 % 190));
    return tokens;
  }

  Scored Run(const Tokens& prompt, const std::vector<Tokens>& continuations) {
    Asked<Scored> asked;
    ContinuationsRequest request;
    request.prompt = prompt;
    request.continuations = continuations;
    request.on_done = [answer = asked.answer](Scored r) { answer->Set(std::move(r)); };
    minnow::test::Taken(ScoreContinuations(cpu.engine(), std::move(request)));
    CHECK_OK(asked.Wait().status);
    UNSIGNED_LONGS_EQUAL(prompt.size(), asked.Wait().usage.prompt_tokens);
    return asked.Wait();
  }

  // The log-probabilities of all[first..].
  std::vector<float> Expected(const Tokens& all, size_t first) {
    const auto n = static_cast<uint32_t>(all.size());
    const std::vector<float> logits = LogitsOf(cpu.engine(), all, n);
    const size_t n_vocab = logits.size() / n;
    std::vector<float> expected;
    for (size_t i = first; i < all.size(); ++i) {
      const auto row = std::span(logits).subspan((i - 1) * n_vocab, n_vocab);
      expected.push_back(static_cast<float>(row[static_cast<size_t>(all[i])] - LogSumExp(row)));
    }
    return expected;
  }

  void CheckContinuation(const Tokens& prompt, const Tokens& continuation,
                         const ContinuationScore& score) {
    Tokens all = prompt;
    all.insert(all.end(), continuation.begin(), continuation.end());
    const std::vector<float> expected = Expected(all, prompt.size());
    CHECK(continuation == score.tokens);
    CHECK(expected == score.token_logprobs);
    double sum = 0;
    for (const float logprob : expected) sum += logprob;
    DOUBLES_EQUAL(sum, score.logprob, 0);
  }

  minnow::Status Refusal(const Tokens& prompt, const std::vector<Tokens>& continuations) {
    ContinuationsRequest request;
    request.prompt = prompt;
    request.continuations = continuations;
    request.on_done = [](Scored) { FAIL("on_done of a refused request"); };
    return ScoreContinuations(cpu.engine(), std::move(request)).status();
  }
};

TEST(ScoreText, ATextHasAnEntryForEachTokenAndOneMoreTheFirstWithoutAny) {
  for (const size_t n : {1u, 2u, 33u, 700u}) {
    const Tokens text = Text(n);
    const ContinuationScore score = Run(text, {}).continuations.at(0);
    UNSIGNED_LONGS_EQUAL(n + 1, score.tokens.size());
    UNSIGNED_LONGS_EQUAL(n + 1, score.token_logprobs.size());
    CHECK(std::isnan(score.token_logprobs[0]));
    CHECK(std::equal(text.begin(), text.end(), score.tokens.begin()));
    const std::vector<float> expected = Expected(score.tokens, 1);
    CHECK(std::equal(expected.begin(), expected.end(), score.token_logprobs.begin() + 1));
    double sum = 0;
    for (size_t i = 0; i + 1 < n; ++i) sum += expected[i];
    DOUBLES_EQUAL(sum, score.logprob, 0);
    // The last is the likeliest.
    const std::vector<float> last = LogitsOf(cpu.engine(), text, 1);
    LONGS_EQUAL(std::max_element(last.begin(), last.end()) - last.begin(), score.tokens.back());
  }
}

TEST(ScoreText, AContinuationMayBeLongerThanAStep) {
  const Tokens prompt = Text(50), continuation = Text(900, 7);
  CheckContinuation(prompt, continuation, Run(prompt, {continuation}).continuations.at(0));
  CheckContinuation(prompt, {5}, Run(prompt, {{5}}).continuations.at(0));
}

TEST(ScoreText, SeveralContinuationsHaveTheBitsOfEachAlone) {
  const Tokens prompt = Text(50);
  const std::vector<Tokens> several{Text(300, 7), Text(3, 9), Text(4, 9), {5}};
  const Scored together = Run(prompt, several);
  UNSIGNED_LONGS_EQUAL(several.size(), together.continuations.size());
  for (size_t i = 0; i < several.size(); ++i) {
    CheckContinuation(prompt, several[i], together.continuations[i]);
    CHECK(Run(prompt, {several[i]}).continuations[0].token_logprobs ==
          together.continuations[i].token_logprobs);
  }
}

TEST(ScoreText, RefusesNothingAndTooMuch) {
  CHECK_ERROR(Code::kInvalid, "the prompt is empty", Refusal({}, {}));
  CHECK_ERROR(Code::kInvalid, "the prompt is empty", Refusal({}, {{1}}));
  CHECK_ERROR(Code::kInvalid, "continuation 2 has no tokens", Refusal({1}, {{1}, {}}));
  CHECK_ERROR(Code::kInvalid, "not in the vocabulary", Refusal({1, 1 << 20}, {}));
  CHECK_ERROR(Code::kOutOfRange, "a step has 512; ask about it by itself",
              Refusal({1}, {Text(600), Text(2)}));
}
