// Scores: log-probabilities of a tree of continuations, and the logits of a whole sequence.
#include <algorithm>
#include <cmath>

#include "engine/job.h"
#include "engine/sampler.h"

namespace minnow::engine {

namespace {

class ScoreJob final : public Job {
 public:
  ScoreJob(ScoreRequest request, uint32_t branches)
      : Job(std::move(request.prompt), request.priority, 0, branches),
        request_(std::move(request)),
        children_(request_.tree.size() + 1),
        done_(request_.tree.size(), false),
        logprobs_(request_.tree.size(), 0.0f) {
    for (size_t i = 0; i < request_.tree.size(); ++i) {
      children_[static_cast<size_t>(request_.tree[i].parent + 1)].push_back(
          static_cast<int32_t>(i));
    }
    // Only nodes with children need a row: a leaf's probability comes from its parent's logits.
    for (size_t i = 0; i < request_.tree.size(); ++i) {
      if (children_[i + 1].empty()) done_[i] = true;
    }
  }

  bool WantsLogits(size_t position) const override { return position + 1 == tokens.size(); }

  Status OnLogits(size_t, std::span<const float> logits) override {
    prompt_done_ = true;
    return SetChildren(-1, logits);
  }

  std::vector<TreeRow> TreeRows(size_t limit, size_t max_paths) const override {
    return branches > 0 ? Paths(limit, std::min<size_t>(max_paths, branches)) : Tree(limit);
  }

  Status OnTreeLogits(int32_t node, std::span<const float> logits) override {
    done_[static_cast<size_t>(node)] = true;
    return SetChildren(node, logits);
  }

  bool finished() const override {
    return prompt_done_ && std::all_of(done_.begin(), done_.end(), [](bool d) { return d; });
  }

  void End(Status status) override {
    StopClock();
    if (request_.on_done) request_.on_done(std::move(status), std::move(logprobs_), usage);
  }

 private:
  std::vector<TreeRow> Tree(size_t limit) const {
    std::vector<TreeRow> rows;
    std::vector<int32_t> row_of(done_.size(), -1);
    for (size_t i = 0; i < done_.size(); ++i) {
      if (done_[i]) continue;
      // The node with those of its ancestors that are not in the list yet, topmost first.
      std::vector<int32_t> path;
      for (int32_t n = static_cast<int32_t>(i); n >= 0 && row_of[static_cast<size_t>(n)] < 0;
           n = request_.tree[static_cast<size_t>(n)].parent) {
        path.push_back(n);
      }
      if (rows.size() + path.size() > limit) break;
      for (auto n = path.rbegin(); n != path.rend(); ++n) {
        const ScoreRequest::Node& node = request_.tree[static_cast<size_t>(*n)];
        const int32_t parent = node.parent < 0 ? -1 : row_of[static_cast<size_t>(node.parent)];
        const uint32_t depth = parent < 0 ? 0 : rows[static_cast<size_t>(parent)].depth + 1;
        row_of[static_cast<size_t>(*n)] = static_cast<int32_t>(rows.size());
        rows.push_back({*n, parent, node.token, depth});
      }
    }
    return rows;
  }

  // Whole paths from the prompt on.
  std::vector<TreeRow> Paths(size_t limit, size_t max_paths) const {
    std::vector<TreeRow> rows;
    std::vector<bool> taken = done_;
    for (size_t i = 0, branch = 0; i < taken.size() && branch < max_paths; ++i) {
      if (taken[i]) continue;
      std::vector<int32_t> path = PathThrough(static_cast<int32_t>(i));
      path.resize(std::min(path.size(), limit - rows.size()));
      int32_t parent = -1;
      for (size_t depth = 0; depth < path.size(); ++depth) {
        const TokenId token = request_.tree[static_cast<size_t>(path[depth])].token;
        rows.push_back({path[depth], parent, token, static_cast<uint32_t>(depth),
                        static_cast<uint32_t>(branch)});
        parent = static_cast<int32_t>(rows.size()) - 1;
        taken[static_cast<size_t>(path[depth])] = true;
      }
      if (rows.size() == limit) break;
      ++branch;
    }
    return rows;
  }

  // The nodes from the top down to this one, and on to the end of its first branch that needs rows.
  std::vector<int32_t> PathThrough(int32_t node) const {
    std::vector<int32_t> path;
    for (int32_t n = node; n >= 0; n = request_.tree[static_cast<size_t>(n)].parent) {
      path.push_back(n);
    }
    std::reverse(path.begin(), path.end());
    const auto pending = [&](int32_t n) { return !done_[static_cast<size_t>(n)]; };
    for (;;) {
      const auto& children = children_[static_cast<size_t>(path.back() + 1)];
      const auto next = std::find_if(children.begin(), children.end(), pending);
      if (next == children.end()) return path;
      path.push_back(*next);
    }
  }

  Status SetChildren(int32_t node, std::span<const float> logits) {
    const auto& children = children_[static_cast<size_t>(node + 1)];
    if (children.empty()) return Status();
    const double total = LogSumExp(logits);
    for (int32_t c : children) {
      const TokenId token = request_.tree[static_cast<size_t>(c)].token;
      logprobs_[static_cast<size_t>(c)] =
          static_cast<float>(logits[static_cast<size_t>(token)] - total);
    }
    return Status();
  }

  ScoreRequest request_;
  std::vector<std::vector<int32_t>> children_;  // of node - 1; [0]: of the prompt
  std::vector<bool> done_;                      // nodes that need no row any more
  std::vector<float> logprobs_;
  bool prompt_done_ = false;
};

class LogitsJob final : public Job {
 public:
  explicit LogitsJob(LogitsRequest request)
      : Job(std::move(request.tokens), Priority::kInteractive, 0), request_(std::move(request)) {}

  bool WantsLogits(size_t position) const override { return position >= FirstWanted(); }

  // After a preemption, what was given is not given again.
  size_t FirstWanted() const override {
    const size_t n_last = std::min<size_t>(request_.n_last, tokens.size());
    return std::max(next_, tokens.size() - n_last);
  }

  Status OnLogits(size_t position, std::span<const float> logits) override {
    next_ = position + 1;
    request_.on_logits(position, logits);
    return Status();
  }

  bool finished() const override { return committed == tokens.size(); }

  void End(Status status) override {
    StopClock();
    if (request_.on_done) request_.on_done(std::move(status), usage);
  }

 private:
  LogitsRequest request_;
  size_t next_ = 0;  // position whose logits have not been given yet
};

}  // namespace

std::unique_ptr<Job> MakeScoreJob(ScoreRequest request, uint32_t branches) {
  return std::make_unique<ScoreJob>(std::move(request), branches);
}

std::unique_ptr<Job> MakeLogitsJob(LogitsRequest request) {
  return std::make_unique<LogitsJob>(std::move(request));
}

}  // namespace minnow::engine
