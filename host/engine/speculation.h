// Speculation: how many rows of drafts are worth their time, and which of them sampling confirmed.
//
// Since noise is keyed by position, a draft is right when sampling draws its token, so the answer
// is the same whatever is decided here; only its speed depends on it. A step gets the drafts that
// bring the most expected tokens per second, by what each kind of draft was worth so far and by
// what a step with more rows costs; where none pays, a probe now and then, within a fixed share of
// the time, finds out whether that has changed. Threads: the executor's.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "engine/draft.h"
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
  explicit Drafts(std::shared_ptr<DraftSource> source) : source_(std::move(source)) {}

  DraftSource& source() { return *source_; }
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
  AcceptanceByKind acceptance_;
  std::vector<DraftNode> nodes_;
  std::vector<int32_t> accepted_;
  int32_t at_ = kNowhere;  // the node reached; -1: the last token
};

// What one model's requests have in common.
class Speculation {
 public:
  explicit Speculation(const StepCost& cost) : cost_(cost) {}

  struct Candidate {
    Drafts* drafts;
    std::vector<DraftNode> nodes;  // proposed
  };
  // Leaves those nodes that the step shall have, at most `room`. It has `rows` rows besides, and
  // gives `tokens` tokens without them.
  void Choose(std::span<Candidate> candidates, uint32_t rows, uint32_t tokens, size_t room);

  void Drew(Drafts& drafts, TokenId token);

 private:
  struct Row {
    double reached;  // probability
    size_t candidate, node;
  };
  double Probability(Drafts& drafts, DraftKind kind);
  std::vector<Row> BestFirst(std::span<Candidate> candidates);
  size_t MostTokensPerSecond(std::span<const Row> order, uint32_t rows, uint32_t tokens) const;
  const Candidate* Probe(std::span<Candidate> candidates, uint32_t rows, size_t room);
  static void Keep(std::span<const Row> order, size_t candidate, std::vector<DraftNode>* nodes);

  const StepCost& cost_;
  AcceptanceByKind acceptance_;  // over all requests
  double allowance_ = 0;         // seconds that probes may take
  size_t probes_ = 0;
};

}  // namespace minnow::engine
