#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "engine/noise.h"

namespace minnow::engine {

namespace {

// The larger logit first, the smaller id among equals: the order of every choice here.
struct Better {
  std::span<const float> logits;
  bool operator()(TokenId a, TokenId b) const {
    const float la = logits[static_cast<size_t>(a)], lb = logits[static_cast<size_t>(b)];
    return la > lb || (la == lb && a < b);
  }
};

// Calls f for each token that may be chosen, in order.
template <class F>
void ForEachAllowed(size_t n, std::span<const uint32_t> mask, F f) {
  if (mask.empty()) {
    for (size_t i = 0; i < n; ++i) f(i);
    return;
  }
  for (size_t w = 0; w < mask.size(); ++w) {
    for (uint32_t bits = mask[w]; bits != 0; bits &= bits - 1) {
      const size_t i = w * 32 + static_cast<size_t>(std::countr_zero(bits));
      if (i < n) f(i);
    }
  }
}

void TopP(std::span<const float> logits, const Sampling& s, float best, std::vector<TokenId>& ids) {
  const auto weight = [&](TokenId id) {
    return std::exp((double{logits[static_cast<size_t>(id)]} - best) / s.temperature);
  };
  std::sort(ids.begin(), ids.end(), Better{logits});
  double total = 0, sum = 0;
  for (TokenId id : ids) total += weight(id);
  for (size_t i = 0; i < ids.size(); ++i) {
    sum += weight(ids[i]);
    if (sum >= s.top_p * total) {
      ids.resize(i + 1);
      return;
    }
  }
}

// The ids that top_k, top_p and min_p leave, of those within kGumbelRange temperatures of the best:
// noise cannot lift any other above it, and in top_p's sums they have no weight.
void Candidates(std::span<const float> logits, const Sampling& s, float best,
                std::span<const uint32_t> mask, std::vector<TokenId>& ids) {
  const auto below_best = [&](TokenId id) {
    return (double{best} - logits[static_cast<size_t>(id)]) / s.temperature;
  };
  ids.clear();
  ForEachAllowed(logits.size(), mask, [&](size_t i) {
    // Neither NaN nor infinity passes.
    const TokenId id = static_cast<TokenId>(i);
    if (logits[i] <= best && below_best(id) <= kGumbelRange) ids.push_back(id);
  });
  if (s.top_k > 0 && ids.size() > s.top_k) {
    std::nth_element(ids.begin(), ids.begin() + s.top_k, ids.end(), Better{logits});
    ids.resize(s.top_k);
  }
  if (s.top_p < 1) TopP(logits, s, best, ids);
  if (s.min_p > 0) {
    const double reach = -std::log(double{s.min_p});
    std::erase_if(ids, [&](TokenId id) { return below_best(id) > reach; });
  }
}

// The largest of logit / temperature + noise, the smaller id among equals. Noise costs two
// logarithms, so it is computed only where the bits that it is made of say that it may win.
class Race {
 public:
  Race(std::span<const float> logits, const Sampling& s, uint64_t position, TokenId first)
      : logits_(logits),
        temperature_(s.temperature),
        inverse_(1 / temperature_),
        noise_(s.seed, position),
        chosen_(first),
        largest_(Score(first)) {}

  void Enter(TokenId id) {
    const double scaled = logits_[static_cast<size_t>(id)] * inverse_;
    // What rounding may hide is far less than this.
    constexpr double kSlack = 1e-9;
    if (scaled + kSlack * (1 + std::abs(scaled)) + noise_.Bound(static_cast<uint64_t>(id)) <
        largest_)
      return;
    const double score = Score(id);
    if (score > largest_ || (score == largest_ && id < chosen_)) {
      largest_ = score;
      chosen_ = id;
    }
  }
  TokenId winner() const { return chosen_; }

 private:
  double Score(TokenId id) const {
    return logits_[static_cast<size_t>(id)] / temperature_ +
           noise_.Gumbel(static_cast<uint64_t>(id));
  }

  const std::span<const float> logits_;
  const double temperature_, inverse_;
  const Noise noise_;
  TokenId chosen_;
  double largest_;
};

TokenId Draw(std::span<const float> logits, const Sampling& s, uint64_t position, TokenId best,
             std::span<const uint32_t> mask, std::vector<TokenId>& ids) {
  const float largest = logits[static_cast<size_t>(best)];
  if (s.top_k == 0 && s.top_p == 1 && s.min_p == 0) {
    Race race(logits, s, position, best);
    ForEachAllowed(logits.size(), mask, [&](size_t i) {
      if (logits[i] <= largest) race.Enter(static_cast<TokenId>(i));  // neither NaN nor infinity
    });
    return race.winner();
  }
  Candidates(logits, s, largest, mask, ids);
  Race race(logits, s, position, ids[0]);
  for (TokenId id : ids) race.Enter(id);
  return race.winner();
}

// The first of the largest finite ones that may be chosen; size() if there is none.
size_t FindBest(std::span<const float> logits, std::span<const uint32_t> mask) {
  constexpr float kLeast = -std::numeric_limits<float>::infinity();
  const auto finite = [](float l) { return l <= std::numeric_limits<float>::max() ? l : kLeast; };
  if (!mask.empty()) {
    size_t best = logits.size();
    ForEachAllowed(logits.size(), mask, [&](size_t i) {
      if (finite(logits[i]) > (best == logits.size() ? kLeast : logits[best])) best = i;
    });
    return best;
  }
  constexpr size_t kLanes = 16;  // side by side, which a compiler makes vectors of
  std::array<float, kLanes> most;
  most.fill(kLeast);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    const float* block = logits.data() + i;
    for (size_t k = 0; k < kLanes; ++k) {
      const float l = finite(block[k]);
      most[k] = l > most[k] ? l : most[k];
    }
  }
  float largest = *std::max_element(most.begin(), most.end());
  for (; i < logits.size(); ++i) largest = std::max(largest, finite(logits[i]));
  if (largest == kLeast) return logits.size();
  return static_cast<size_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  float max = -std::numeric_limits<float>::infinity();
  for (float l : logits) {
    if (std::isfinite(l)) max = std::max(max, l);
  }
  double sum = 0;
  for (float l : logits) {
    if (std::isfinite(l)) sum += std::exp(double{l} - max);
  }
  return max + std::log(sum);
}

Status Validate(const Sampling& s) {
  const auto refuse = [](const char* name, const char* range, double value) {
    return Error(Code::kInvalid, "option '{}' must be {}, not {}", name, range, value);
  };
  if (!(s.temperature >= 0) || std::isinf(s.temperature))
    return refuse("temperature", "0 or more", s.temperature);
  if (!(s.top_p > 0 && s.top_p <= 1)) return refuse("top_p", "above 0 and at most 1", s.top_p);
  if (!(s.min_p >= 0 && s.min_p <= 1)) return refuse("min_p", "from 0 to 1", s.min_p);
  return Status();
}

Result<Choice> Choose(std::span<const float> logits, const Sampling& sampling, uint64_t position,
                      uint32_t n_top, SamplerScratch& work, std::span<const uint32_t> mask) {
  const size_t best = FindBest(logits, mask);
  if (best == logits.size())
    return Error(Code::kInternal, "the model gave no finite logit{}",
                 mask.empty() ? "" : " for a token that may come");
  Choice choice;
  choice.token = static_cast<TokenId>(best);
  if (sampling.temperature > 0)
    choice.token = Draw(logits, sampling, position, choice.token, mask, work.ids);
  if (n_top == 0) return choice;

  const double total = LogSumExp(logits);
  const auto logprob = [&](TokenId id) {
    return static_cast<float>(logits[static_cast<size_t>(id)] - total);
  };
  choice.logprob = logprob(choice.token);
  work.ids.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) work.ids.push_back(static_cast<TokenId>(i));
  }
  const size_t n = std::min<size_t>(n_top, work.ids.size());
  std::partial_sort(work.ids.begin(), work.ids.begin() + static_cast<ptrdiff_t>(n), work.ids.end(),
                    Better{logits});
  for (size_t i = 0; i < n; ++i) choice.top.push_back({work.ids[i], logprob(work.ids[i])});
  return choice;
}

}  // namespace minnow::engine
