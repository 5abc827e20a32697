// Drafts by a smaller model of the same vocabulary, whose embedding may be padded to another
// length.
//
// The draft model has an instance and a cache of its own, in which each request's tokens stand a
// second time. It runs between the target's steps, on the executor's thread, for all requests
// together: a guess of k tokens takes k steps of the draft, each with a row of every request that
// wants one. It draws as the request does, with the request's noise, so that even a sampled answer
// is guessed as far as the models agree. Adapters are the target's alone.
//
// Before it guesses, the draft has to catch up with the request's tokens, in steps of limited size,
// the first request first; what prompts have in common is computed once there too. What sampling
// did not take is overwritten. Where pages are short, those who are not asked for, or came last, go
// without: a draft is a hint, and nothing it lacks is an error. A draft whose step failed is not
// asked again.
//
// How deep it guesses, and whether at all, is decided before it runs (speculation.h).
// Threads: the executor's.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/draft.h"
#include "engine/kv_cache.h"
#include "engine/sampler.h"
#include "engine/step_cost.h"
#include "model/instance.h"

namespace minnow::engine {

class ModelDraft;

// What the draft's cache has of one request. Its pages go back when it goes.
class DraftSequence {
 public:
  DraftSequence(ModelDraft& draft, const Sampling& sampling);
  ~DraftSequence();
  DraftSequence(const DraftSequence&) = delete;
  DraftSequence& operator=(const DraftSequence&) = delete;

 private:
  friend class ModelDraft;

  ModelDraft& draft_;
  const Sampling sampling_;
  std::vector<TokenId> tokens_;  // in the cache: the request's, then guesses
  size_t confirmed_ = 0;         // of them the request's
  PageTable pages_;
  uint64_t asked_ = 0;      // in which call it was last
  size_t shared_ = 0;       // what others have computed of its tokens,
  uint64_t shared_at_ = 0;  // when so many prefixes had been added
};

class ModelDraft {
 public:
  struct Options {
    uint32_t step_tokens = 512;  // rows of a step, at most
    uint64_t prefix_cache_bytes = kPrefixCacheByContext;
    size_t most = 16;      // tokens of a guess
    bool insists = false;  // guesses whether it pays or not: for tests and measurements
  };

  // kUnsupported, with both names and what differs, unless the draft has the target's vocabulary
  // (what one of them has beyond the other is unused), and both of them sequences from which rows
  // can be taken back. `draft` outlives this.
  static Result<std::unique_ptr<ModelDraft>> Create(const model::Instance& target,
                                                    model::Instance& draft, const Options& options);
  ~ModelDraft();  // REQUIRES: no sequence left

  // How a request stands, whose tokens begin with those of the call before.
  struct Standing {
    size_t most = 0;    // tokens that can be guessed
    size_t behind = 0;  // tokens that the draft has yet to compute, at least 1
  };
  Standing Look(DraftSequence& sequence, std::span<const TokenId> tokens);

  struct Ask {
    DraftSequence* sequence;
    std::span<const TokenId> tokens;
    size_t most;                    // tokens to guess, at least 1
    size_t rows;                    // for catching up in this call
    std::vector<DraftNode>* nodes;  // replaced by what it guesses: a chain, or nothing
  };
  // Where there is not enough for all, those who have little to catch up with come first, then the
  // first ones.
  void Propose(std::span<const Ask> asks);

  bool insists() const { return options_.insists; }
  const StepCost& cost() const { return cost_; }
  // Since it was asked last, so that the target's steps are not charged for it.
  double TakeSeconds() { return std::exchange(seconds_, 0); }

  uint64_t steps() const { return steps_; }
  uint32_t pages_used() const { return cache_.used(); }  // by requests

 private:
  friend class DraftSequence;
  struct Going;  // a request that has a row in the step

  ModelDraft(const model::Instance& target, model::Instance& draft, const Options& options);
  void Forget(DraftSequence& sequence);
  void Begin(const Ask& ask, std::span<const Ask* const> later, size_t* rows_left,
             std::vector<Going>* going);
  bool MakeRoom(const DraftSequence& sequence, size_t length, std::span<const Ask* const> later);
  bool Fits(const DraftSequence& sequence, size_t length) const;
  DraftSequence* LeastUseful(std::span<const Ask* const> later) const;
  void AddRows(const DraftSequence& sequence, std::span<const TokenId> tokens, bool logits);
  void ClearStep();
  bool RunStep(std::span<const float>* logits);
  void Share(std::span<const Going> going);
  void Draw(std::span<const float> logits, std::vector<Going>* going);
  void Charge(Clock::time_point begin);

  model::Instance& instance_;
  const size_t n_proposed_;  // tokens that both models have
  const Options options_;
  KvCache cache_;
  StepCost cost_;
  std::vector<DraftSequence*> sequences_;
  model::StepInputs in_;
  std::vector<mnw_page_edit> edits_;
  SamplerScratch scratch_;
  uint64_t calls_ = 0, steps_ = 0, inserted_ = 0;
  double seconds_ = 0;
  bool failed_ = false;
};

}  // namespace minnow::engine
