#include "engine/constrained.h"

#include <algorithm>

namespace minnow::engine {

Result<Choice> Constrained::Choose(std::span<const float> logits, const Sampling& sampling,
                                   uint64_t position, uint32_t n_top, uint32_t budget,
                                   SamplerScratch& work) {
  const bool looks_at_others =
      sampling.temperature > 0 && (sampling.top_k > 0 || sampling.top_p < 1 || sampling.min_p > 0);
  if (!looks_at_others) {
    MNW_ASSIGN(Choice choice, engine::Choose(logits, sampling, position, n_top, work));
    if (matcher_.Allows(choice.token, budget)) return choice;
  }
  MNW_TRY(matcher_.Allowed(budget, &mask_));
  if (std::ranges::all_of(mask_, [](uint32_t word) { return word == 0; })) {
    return Error(Code::kUnsupported, "the model has no token for what has to come after '{}'",
                 matcher_.text());
  }
  return engine::Choose(logits, sampling, position, n_top, work, mask_);
}

Result<std::vector<TokenId>> Constrained::Force(uint32_t budget) {
  constrain::Matcher::Forced forced = matcher_.Next(budget);
  for (TokenId token : forced.certain) MNW_TRY(matcher_.Accept(token));
  likely_ = std::move(forced.likely);
  return std::move(forced.certain);
}

}  // namespace minnow::engine
