#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "engine/noise.h"
#include "test_util.h"

using minnow::Code;
using minnow::engine::Choice;
using minnow::engine::Choose;
using minnow::engine::LogSumExp;
using minnow::engine::Noise;
using minnow::engine::SamplerScratch;
using minnow::engine::Sampling;
using minnow::engine::TokenId;
using minnow::engine::Validate;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> RandomLogits(size_t n, float spread, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(n);
  for (float& l : logits) l = normal(rng);
  return logits;
}

// Every step of abi/backend.h done one after the other on the whole distribution, in double.
std::vector<double> ReferenceDistribution(const std::vector<float>& logits, const Sampling& s) {
  std::vector<size_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<double> p(logits.size());
  const auto normalize = [&] {
    double total = 0;
    for (double x : p) total += x;
    for (double& x : p) x /= total;
  };
  const double best = logits[order[0]];
  for (size_t i = 0; i < p.size(); ++i) p[i] = std::exp((logits[i] - best) / s.temperature);
  if (s.top_k > 0) {
    for (size_t i = s.top_k; i < order.size(); ++i) p[order[i]] = 0;
  }
  normalize();
  double before = 0;
  for (size_t i : order) {
    const double own = p[i];
    if (s.top_p < 1 && before >= s.top_p) p[i] = 0;
    before += own;
  }
  normalize();
  const double limit = s.min_p * p[order[0]];
  for (double& x : p) {
    if (x < limit) x = 0;
  }
  normalize();
  return p;
}

TokenId ReferenceDraw(const std::vector<float>& logits, const std::vector<double>& p,
                      const Sampling& s, uint64_t position) {
  TokenId chosen = -1;
  double largest = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    const double score = logits[i] / double{s.temperature} + Noise(s.seed, position).Gumbel(i);
    if (chosen >= 0 && score <= largest) continue;
    chosen = static_cast<TokenId>(i);
    largest = score;
  }
  return chosen;
}

// Pearson's statistic of counts against probabilities.
double ChiSquare(const std::vector<int>& count, const std::vector<double>& p, int draws) {
  double chi = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = p[i] * draws;
    chi += (count[i] - expected) * (count[i] - expected) / expected;
  }
  return chi;
}

}  // namespace

TEST_GROUP(Sampler) {
  SamplerScratch scratch;

  Choice Take(const std::vector<float>& logits, const Sampling& s, uint64_t position = 0,
              uint32_t n_top = 0) {
    auto choice = Choose(logits, s, position, n_top, scratch);
    CHECK_OK(choice.status());
    return *std::move(choice);
  }

  // The same choice as the reference at many positions.
  void CheckAgainstReference(const Sampling& s) {
    for (uint32_t row = 0; row < 8; ++row) {
      const std::vector<float> logits = RandomLogits(200, 3, row);
      const std::vector<double> p = ReferenceDistribution(logits, s);
      for (uint64_t position = 0; position < 50; ++position) {
        LONGS_EQUAL(ReferenceDraw(logits, p, s, position), Take(logits, s, position).token);
      }
    }
  }
};

TEST(Sampler, GreedyTakesTheLargestAndTheSmallestIdAmongEquals) {
  LONGS_EQUAL(2, Take({1, 3, 5, 5, 4, 5}, {}).token);
  LONGS_EQUAL(0, Take({0, 0, 0}, {}).token);
  LONGS_EQUAL(1, Take({-kInf, -7, -8}, {}).token);
}

TEST(Sampler, TemperatureDrawsAsTheReferenceDoes) {
  for (float t : {0.01f, 0.3f, 1.0f, 2.5f, 100.0f}) CheckAgainstReference({.temperature = t});
}

// Of a vocabulary nearly all tokens are passed over by the bits of their noise.
TEST(Sampler, WholeVocabulariesDrawAsTheReferenceDoes) {
  for (float spread : {1e-3f, 0.2f, 2.0f, 9.0f}) {
    const std::vector<float> logits = RandomLogits(50'001, spread, 77);
    const std::vector<double> all(logits.size(), 1);
    for (uint64_t position = 0; position < 12; ++position) {
      const Sampling s{.temperature = position % 2 == 0 ? 0.7f : 1.9f, .seed = position / 3};
      LONGS_EQUAL(ReferenceDraw(logits, all, s, position), Take(logits, s, position).token);
    }
  }
}

TEST(Sampler, WhatIsNotFiniteIsNoneOfTheLargest) {
  std::vector<float> logits = RandomLogits(100, 3, 5);
  const TokenId best = Take(logits, {}).token;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (i != static_cast<size_t>(best)) logits[i] = i % 3 == 0 ? kInf : std::nanf("");
  }
  LONGS_EQUAL(best, Take(logits, {}).token);
  LONGS_EQUAL(best, Take(logits, {.temperature = 5}).token);
  logits.assign(100, std::nanf(""));
  CHECK_ERROR(Code::kInternal, "no finite logit", Choose(logits, {}, 0, 0, scratch).status());
}

TEST(Sampler, TopKDrawsAsTheReferenceDoes) {
  for (uint32_t k : {1u, 2u, 5u, 40u, 199u, 200u, 1000u})
    CheckAgainstReference({.temperature = 1.5f, .top_k = k});
}

TEST(Sampler, TopPDrawsAsTheReferenceDoes) {
  for (float p : {1e-6f, 0.1f, 0.5f, 0.9f, 0.999f, 1.0f})
    CheckAgainstReference({.temperature = 1.5f, .top_p = p});
}

TEST(Sampler, MinPDrawsAsTheReferenceDoes) {
  for (float p : {1e-3f, 0.05f, 0.5f, 1.0f})
    CheckAgainstReference({.temperature = 1.5f, .min_p = p});
}

TEST(Sampler, FiltersApplyInTheirOrder) {
  for (uint32_t k : {0u, 3u, 30u}) {
    for (float top_p : {0.3f, 0.6f, 0.95f}) {
      for (float min_p : {0.02f, 0.3f, 0.7f}) {
        CheckAgainstReference(
            {.temperature = 2.0f, .top_k = k, .top_p = top_p, .min_p = min_p, .seed = 9});
      }
    }
  }
}

// top_p counts the tokens that min_p will drop: 0.5 + 0.26 is the first sum above 0.6 of all.
TEST(Sampler, TopPSeesTheDistributionBeforeMinP) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.26f), std::log(0.24f)};
  const Sampling s{.temperature = 1, .top_p = 0.6f, .min_p = 0.5f};
  bool second = false;
  for (uint64_t position = 0; position < 100; ++position)
    second |= Take(logits, s, position).token == 1;
  CHECK(second);
}

TEST(Sampler, TopKKeepsTheSmallerIdAmongEquals) {
  const std::vector<float> logits = {1, 2, 2, 2, 2};
  for (uint64_t position = 0; position < 200; ++position) {
    const TokenId token = Take(logits, {.temperature = 1, .top_k = 2}, position).token;
    CHECK(token == 1 || token == 2);
  }
}

TEST(Sampler, DrawsFollowTheSoftmaxOverPositions) {
  constexpr int kDraws = 20000;
  const std::vector<float> logits = RandomLogits(16, 1, 4);
  const std::vector<double> p = ReferenceDistribution(logits, {.temperature = 1});
  std::vector<int> by_position(16), by_seed(16);
  for (uint64_t i = 0; i < kDraws; ++i) {
    ++by_position[static_cast<size_t>(Take(logits, {.temperature = 1, .seed = 1}, i).token)];
    ++by_seed[static_cast<size_t>(Take(logits, {.temperature = 1, .seed = i}, 17).token)];
  }
  // 15 degrees of freedom: more in one of 100,000 seeds.
  CHECK(ChiSquare(by_position, p, kDraws) < 50);
  CHECK(ChiSquare(by_seed, p, kDraws) < 50);
}

TEST(Sampler, ADrawDependsOnSeedAndPositionAlone) {
  const std::vector<float> logits = RandomLogits(100, 1, 5);
  std::vector<TokenId> first;
  for (uint64_t i = 0; i < 50; ++i) {
    first.push_back(Take(logits, {.temperature = 1, .seed = 8}, i).token);
  }
  int other_seed = 0, other_position = 0;
  for (uint64_t i = 50; i-- > 0;) {
    LONGS_EQUAL(first[i], Take(logits, {.temperature = 1, .seed = 8}, i).token);
    other_seed += first[i] != Take(logits, {.temperature = 1, .seed = 9}, i).token;
    other_position += first[i] != first[(i + 1) % 50];
  }
  CHECK(other_seed > 25);
  CHECK(other_position > 25);
}

TEST(Sampler, NeverChoosesWhatIsNotFinite) {
  for (float temperature : {0.0f, 1.0f, 50.0f}) {
    for (uint64_t position = 0; position < 50; ++position) {
      const Sampling s{.temperature = temperature, .top_p = 0.99f};
      const TokenId token = Take({kNan, 1, kInf, 1.5f, -kInf, kNan}, s, position).token;
      CHECK(token == 1 || token == 3);
    }
  }
}

TEST(Sampler, RefusesARowWithoutAFiniteLogit) {
  for (float temperature : {0.0f, 1.0f}) {
    const std::vector<float> logits = {kNan, kInf, -kInf};
    CHECK_ERROR(Code::kInternal, "no finite logit",
                Choose(logits, {.temperature = temperature}, 0, 1, scratch).status());
  }
}

TEST(Sampler, LogprobsAreTheLogSoftmaxBeforeTemperatureAndFilters) {
  const std::vector<float> logits = RandomLogits(1000, 6, 6);
  long double sum = 0;
  for (float l : logits) sum += std::exp(static_cast<long double>(l));
  const double total = static_cast<double>(std::log(sum));
  DOUBLES_EQUAL(total, LogSumExp(logits), 1e-12);

  const Sampling s{.temperature = 3, .top_k = 7, .min_p = 0.01f};
  const Choice choice = Take(logits, s, 3, 5);
  DOUBLES_EQUAL(logits[static_cast<size_t>(choice.token)] - total, choice.logprob, 1e-6);
  UNSIGNED_LONGS_EQUAL(5, choice.top.size());
  std::vector<float> sorted = logits;
  std::sort(sorted.begin(), sorted.end(), std::greater<float>());
  for (size_t i = 0; i < 5; ++i) {
    DOUBLES_EQUAL(sorted[i] - total, choice.top[i].logprob, 1e-6);
    CHECK(logits[static_cast<size_t>(choice.top[i].token)] == sorted[i]);
  }
}

TEST(Sampler, LogprobsOfLargeLogitsDoNotOverflow) {
  const Choice choice = Take({1e6f, 1e6f, -1e6f}, {}, 0, 2);
  DOUBLES_EQUAL(std::log(0.5), choice.logprob, 1e-6);
}

TEST(Sampler, TopListsOnlyFiniteLogitsEqualOnesById) {
  const Choice choice = Take({kNan, 2, kInf, 3, 3, -kInf, kNan, 2}, {}, 0, 8);
  UNSIGNED_LONGS_EQUAL(4, choice.top.size());
  const TokenId expected[] = {3, 4, 1, 7};
  double sum = 0;
  for (size_t i = 0; i < 4; ++i) {
    LONGS_EQUAL(expected[i], choice.top[i].token);
    sum += std::exp(double{choice.top[i].logprob});
  }
  DOUBLES_EQUAL(1, sum, 1e-6);
}

TEST(Sampler, ValidateNamesTheOption) {
  CHECK_OK(Validate({}));
  CHECK_OK(Validate({.temperature = 2, .top_k = 5, .top_p = 0.5f, .min_p = 1}));
  CHECK_ERROR(Code::kInvalid, "'temperature'", Validate({.temperature = -1}));
  CHECK_ERROR(Code::kInvalid, "'temperature'", Validate({.temperature = kNan}));
  CHECK_ERROR(Code::kInvalid, "'temperature'", Validate({.temperature = kInf}));
  CHECK_ERROR(Code::kInvalid, "'top_p'", Validate({.top_p = 0}));
  CHECK_ERROR(Code::kInvalid, "'top_p'", Validate({.top_p = 1.01f}));
  CHECK_ERROR(Code::kInvalid, "'top_p'", Validate({.top_p = kNan}));
  CHECK_ERROR(Code::kInvalid, "'min_p'", Validate({.min_p = -0.1f}));
  CHECK_ERROR(Code::kInvalid, "'min_p'", Validate({.min_p = 1.1f}));
}
