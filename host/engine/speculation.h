// Speculation: how many rows of drafts are worth their time, and which of them sampling confirmed.
//
// Since noise is keyed by position, a draft is right when sampling draws its token, so the answer
// is the same whatever is decided here; only its speed depends on it. A step gets the drafts that
// bring the most expected tokens per second, by what each kind of draft was worth so far and by
// what a step with more rows costs; where none pays, a probe now and then, within a fixed share of
// the time, finds out whether that has changed.
//
// What a request's source proposes is free. A draft model's guesses cost its time too, so their
// depth is decided before it runs: a round of the draft for every further token, shared by all
// requests that go so deep, and what it has to catch up with, spread over the rest of the answer.
// Two plans compete, and the one with more tokens per second is taken: only what is free; and the
// model where nothing was proposed, or what was is right less often than the model. So the model is
// off where many requests fill the steps, and where it is wrong. Threads: the executor's.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/draft.h"
#include "engine/model_draft.h"
#include "engine/step_cost.h"

namespace minnow::engine {

// How often guesses of a kind are right, the latest counting most.
class Acceptance {
 public:
  void Add(bool right, double memory);  // of about so many guesses
  // With what is assumed beforehand counting as much as so many guesses.
  double Estimate(double assumed, double weight) const;

 private:
  double right_ = 0, all_ = 0;
};
using AcceptanceByKind = std::array<Acceptance, kDraftKinds>;

// The drafts of one request.
class Drafts {
 public:
  // `sampling`: how the tokens are drawn, if a draft model may guess them besides.
  explicit Drafts(std::shared_ptr<DraftSource> source, std::optional<Sampling> sampling = {})
      : source_(std::move(source)), sampling_(sampling) {}

  DraftSource& source() { return *source_; }
  // How the request stands with the model; nothing can be guessed if the model may not.
  ModelDraft::Standing Look(ModelDraft& model, std::span<const TokenId> tokens) {
    if (!sampling_) return {};
    if (!sequence_) sequence_ = std::make_unique<DraftSequence>(model, *sampling_);
    return model.Look(*sequence_, tokens);
  }
  DraftSequence* sequence() { return sequence_.get(); }
  AcceptanceByKind& acceptance() { return acceptance_; }

  // These have rows in the step that is being built.
  void Start(std::vector<DraftNode> nodes);
  std::span<const DraftNode> nodes() const { return nodes_; }
  // Do the logits after this node come next? Not if sampling went another way.
  bool IsNext(int32_t node) const { return node == at_; }
  // Sampling drew this token after the last one, or after the node that was next. `learn` is told
  // of every guess that was made of it.
  template <class Learn>
  void Drew(TokenId token, Learn learn) {
    const int32_t parent = at_;
    at_ = kNowhere;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].parent != parent) continue;
      const bool right = nodes_[i].token == token;
      learn(nodes_[i].kind, right);
      if (right && at_ == kNowhere) at_ = static_cast<int32_t>(i);
    }
    if (at_ != kNowhere) accepted_.push_back(at_);
  }
  // The nodes that were drawn, in order: the rows of the last token's descendants that stay.
  std::span<const int32_t> accepted() const { return accepted_; }

 private:
  static constexpr int32_t kNowhere = -2;

  std::shared_ptr<DraftSource> source_;
  std::optional<Sampling> sampling_;
  std::unique_ptr<DraftSequence> sequence_;
  AcceptanceByKind acceptance_;
  std::vector<DraftNode> nodes_;
  std::vector<int32_t> accepted_;
  int32_t at_ = kNowhere;  // the node reached; -1: the last token
};

// What one model's requests have in common.
class Speculation {
 public:
  // `draft_cost`: what the steps of a draft model take; null: there is none.
  explicit Speculation(const StepCost& cost, const StepCost* draft_cost = nullptr)
      : cost_(cost), draft_cost_(draft_cost) {}

  // What a draft model may be asked for.
  struct Offer {
    size_t most = 0;    // tokens
    size_t behind = 1;  // rows until it has guessed the first
    size_t rows = 1;    // of these in this step, at most
    size_t left = 1;    // tokens that the answer may still have
    bool insists = false;
  };
  struct Candidate {
    Drafts* drafts;
    std::vector<DraftNode> nodes;  // proposed
    Offer offer = {};
    size_t ask = 0;  // out: tokens that the model is to guess; the nodes are gone then
  };
  // Leaves those nodes that the step shall have, at most `room`, asked ones among them. It has
  // `rows` rows besides, and gives `tokens` tokens without them.
  void Choose(std::span<Candidate> candidates, uint32_t rows, uint32_t tokens, size_t room);

  void Drew(Drafts& drafts, TokenId token);

 private:
  struct Row {
    double reached;  // probability
    size_t candidate, node;
    bool model;  // the node is to come from the draft model, so deep
  };
  // The rows to add, and what the step then makes in a second.
  struct Plan {
    std::vector<Row> rows;
    double rate = 0;
  };
  double Probability(Drafts& drafts, DraftKind kind);
  bool ModelIsBetter(const Candidate& candidate);
  std::vector<Row> BestFirst(std::span<Candidate> candidates, bool with_model);
  Plan MostTokensPerSecond(std::span<const Candidate> candidates, std::vector<Row> order,
                           uint32_t rows, uint32_t tokens) const;
  bool KnowsDraft() const;
  double DraftSeconds(size_t rows) const;
  double CatchUpSeconds(const Offer& offer) const;
  const Candidate* Probe(std::span<Candidate> candidates, uint32_t rows, size_t room);
  void ProbeModel(std::span<Candidate> candidates, uint32_t rows, size_t room);
  static void Keep(std::span<const Row> order, size_t candidate, std::vector<DraftNode>* nodes);

  const StepCost& cost_;
  const StepCost* const draft_cost_;
  AcceptanceByKind acceptance_;                 // over all requests
  double allowance_ = 0, model_allowance_ = 0;  // seconds that probes may take
  size_t probes_ = 0;
};

}  // namespace minnow::engine
