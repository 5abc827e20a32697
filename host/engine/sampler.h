// Chooses a token from a row of logits in host memory, as abi/backend.h describes it for
// mnw_sample_row. Threads: pure over its arguments; `work` is scratch that may be reused.
#pragma once

#include <span>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

struct Choice {
  TokenId token = 0;
  float logprob = 0;              // only if n_top > 0
  std::vector<TokenLogprob> top;  // at most n_top of them, descending, equal ones by id
};

struct SamplerScratch {
  std::vector<TokenId> ids;
};

// `position`: of the token to be chosen, the counter of the noise. `mask`: bit i set, token i may
// be chosen; what it leaves out has no bit; empty: all may. What is not finite is never chosen nor
// listed; a row without a finite logit that may be chosen is kInternal.
Result<Choice> Choose(std::span<const float> logits, const Sampling& sampling, uint64_t position,
                      uint32_t n_top, SamplerScratch& work, std::span<const uint32_t> mask = {});

// log(sum(exp(logits))) of the finite ones, in double; -infinity if there are none.
double LogSumExp(std::span<const float> logits);

}  // namespace minnow::engine
