// A running request: which rows it wants in the next step, and what it makes of their logits.
//
// The step builder asks, the executor delivers. Tokens of `tokens` are computed in order and
// committed to the cache; rows of the tree (ScoreRequest) are computed after them and never
// committed. A draft's rows stand after the last token too; those that sampling confirmed are
// committed after the step.
//
// Recurrent state has no rows that could be left out later: each path of a tree runs on a block of
// its own, a branch, which starts as a copy of the sequence's. Threads: the executor's, once the
// request is accepted.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "engine/adapter_slots.h"
#include "engine/kv_cache.h"
#include "engine/request.h"
#include "engine/speculation.h"

namespace minnow::constrain {
class Grammar;
}

namespace minnow::engine {

class Job {
 public:
  // `max_answer`: tokens that may be added to the prompt. `branches`: blocks for paths of its tree,
  // at least one if it has a tree and the model recurrent state.
  Job(std::vector<TokenId> prompt, Priority priority, uint32_t max_answer, uint32_t branches = 0)
      : tokens(std::move(prompt)),
        priority(priority),
        branches(branches),
        max_length(static_cast<uint32_t>(tokens.size()) + max_answer) {
    usage.prompt_tokens = static_cast<uint32_t>(tokens.size());
  }
  virtual ~Job() = default;

  // Are the logits after tokens[position] wanted?
  virtual bool WantsLogits(size_t /*position*/) const { return false; }
  // No logits are wanted before this position, so the tokens up to it may come from the cache.
  virtual size_t FirstWanted() const { return tokens.size() - 1; }
  virtual Status OnLogits(size_t /*position*/, std::span<const float> /*logits*/) {
    return Status();
  }
  // Of an encoder, whose whole sequence was one step.
  virtual Status OnEmbedding(std::span<const float> /*embedding*/) { return Status(); }

  // Tree rows still to be computed, each with its parent among them (-1: the last token). Only
  // asked when all tokens are committed or in the same step. With branches, each path has rows of
  // its own, from the last token on, one path after another.
  struct TreeRow {
    int32_t node;
    int32_t parent;  // index into the list
    TokenId token;
    uint32_t depth;       // 0: right after the last token
    bool out;             // its logits are wanted
    uint32_t branch = 0;  // below `branches`
  };
  struct TreeRoom {
    size_t rows, outs, paths;
    size_t path_rows;  // of a path that is alone, since a path is computed in one step
  };
  virtual std::vector<TreeRow> TreeRows(const TreeRoom& /*room*/) const { return {}; }
  virtual Status OnTreeLogits(int32_t /*node*/, std::span<const float> /*logits*/) {
    return Status();
  }

  // After a step: nothing more to compute?
  virtual bool finished() const = 0;
  // Does it keep its pages when it is finished?
  virtual bool holds() const { return false; }
  // Calls on_done. `status` ok: the answer is complete.
  virtual void End(Status status) = 0;

  // The slot of its rows, -1 without adapter.
  int32_t adapter_slot() const { return adapter ? static_cast<int32_t>(adapter->index) : -1; }
  AdapterId adapter_id() const { return adapter ? adapter->id : 0; }
  size_t pending() const { return tokens.size() - committed; }

  RequestId id = 0;
  std::vector<TokenId> tokens;
  size_t committed = 0;  // tokens whose rows are in the cache; 0 again after a preemption
  bool was_preempted = false;
  const Priority priority;
  const uint32_t branches;
  const uint32_t max_length;  // positions it may come to
  Deadline deadline = kNoDeadline;
  PageTable pages;
  AdapterUse adapter;
  std::unique_ptr<Drafts> drafts;  // null: nothing is guessed of it
  Usage usage;
  Clock::time_point submitted, started, first_token;

 protected:
  void StopClock();  // fills usage's times
};

// Each checks nothing: the engine has refused bad requests.
// `grammar`: made of request.constraint; null if it has none.
std::unique_ptr<Job> MakeGenerateJob(GenerateRequest request, const model::Model* model,
                                     std::shared_ptr<constrain::Grammar> grammar = nullptr);
std::unique_ptr<Job> MakeScoreJob(ScoreRequest request, uint32_t branches);
std::unique_ptr<Job> MakeLogitsJob(LogitsRequest request);
std::unique_ptr<Job> MakeEmbedJob(EmbedRequest request);
std::unique_ptr<Job> MakeHoldJob(HoldRequest request);

}  // namespace minnow::engine
