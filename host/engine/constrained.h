// An answer that obeys a grammar, as its generation sees it.
//
// Where the draw without the grammar is one that the grammar allows, it is the draw with it too,
// and no mask is made. That is so unless top_k, top_p or min_p look at what others there are.
// Threads: the executor's, once the request is accepted.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "constrain/grammar.h"
#include "engine/sampler.h"

namespace minnow::engine {

class Constrained {
 public:
  explicit Constrained(std::shared_ptr<constrain::Grammar> grammar)
      : matcher_(std::move(grammar)) {}

  // The next token among those that may come. `budget`: tokens that the answer may still have.
  Result<Choice> Choose(std::span<const float> logits, const Sampling& sampling, uint64_t position,
                        uint32_t n_top, uint32_t budget, SamplerScratch& work);
  Status Accept(TokenId token) { return matcher_.Accept(token); }
  // What comes next whatever the model says; it is accepted.
  Result<std::vector<TokenId>> Force(uint32_t budget);
  // What the model will mostly say after that.
  const std::vector<TokenId>& likely() const { return likely_; }
  bool finished() { return matcher_.finished(); }

 private:
  constrain::Matcher matcher_;
  constrain::MaskWords mask_;
  std::vector<TokenId> likely_;
};

}  // namespace minnow::engine
