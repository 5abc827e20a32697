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
        logprobs_(request_.tree.size(), 0.0f) {
    std::vector<bool> wanted(request_.tree.size() + 1, false);
    for (size_t i = 0; i < request_.tree.size(); ++i) {
      const auto parent = static_cast<size_t>(request_.tree[i].parent + 1);
      children_[parent].push_back(static_cast<int32_t>(i));
      if (request_.tree[i].scored) wanted[parent] = true;
    }
    wants_root_ = wanted[0];
    // A token's probability comes from its parent's logits, so leaves need no row.
    for (size_t i = 0; i < request_.tree.size(); ++i) {
      done_.push_back(!wanted[i + 1]);
      n_left_ += wanted[i + 1];
    }
  }

  bool WantsLogits(size_t position) const override {
    return wants_root_ && position + 1 == tokens.size();
  }
  size_t FirstWanted() const override { return tokens.size() - wants_root_; }

  Status OnLogits(size_t, std::span<const float> logits) override {
    root_done_ = true;
    return SetChildren(-1, logits);
  }

  std::vector<TreeRow> TreeRows(const TreeRoom& room) const override {
    return branches > 0 ? Paths(room) : Tree(room);
  }

  Status OnTreeLogits(int32_t node, std::span<const float> logits) override {
    n_left_ -= !done_[static_cast<size_t>(node)];
    done_[static_cast<size_t>(node)] = true;
    return SetChildren(node, logits);
  }

  bool finished() const override { return (root_done_ || !wants_root_) && n_left_ == 0; }

  void End(Status status) override {
    StopClock();
    if (request_.on_done) request_.on_done(std::move(status), std::move(logprobs_), usage);
  }

 private:
  std::vector<TreeRow> Tree(const TreeRoom& room) const {
    std::vector<TreeRow> rows;
    std::vector<int32_t> row_of(done_.size(), -1);
    std::vector<int32_t> path;
    size_t outs = 0;
    for (size_t i = 0; i < done_.size() && outs < room.outs; ++i) {
      if (done_[i] || row_of[i] >= 0) continue;
      // The node with those of its ancestors that are not in the list yet, topmost first.
      path.clear();
      for (int32_t n = static_cast<int32_t>(i); n >= 0 && row_of[static_cast<size_t>(n)] < 0;
           n = request_.tree[static_cast<size_t>(n)].parent) {
        path.push_back(n);
      }
      const size_t most = rows.empty() ? std::max(room.rows, room.path_rows) : room.rows;
      if (rows.size() + path.size() > most) break;
      for (auto n = path.rbegin(); n != path.rend() && outs < room.outs; ++n) {
        const ScoreRequest::Node& node = request_.tree[static_cast<size_t>(*n)];
        const int32_t parent = node.parent < 0 ? -1 : row_of[static_cast<size_t>(node.parent)];
        const uint32_t depth = parent < 0 ? 0 : rows[static_cast<size_t>(parent)].depth + 1;
        row_of[static_cast<size_t>(*n)] = static_cast<int32_t>(rows.size());
        rows.push_back({*n, parent, node.token, depth, !done_[static_cast<size_t>(*n)]});
        outs += rows.back().out;
      }
    }
    return rows;
  }

  // Whole paths from the prompt on.
  std::vector<TreeRow> Paths(const TreeRoom& room) const {
    const size_t max_paths = std::min<size_t>(room.paths, branches);
    std::vector<TreeRow> rows;
    std::vector<bool> taken = done_;
    size_t outs = 0;
    for (size_t i = 0, branch = 0; i < taken.size() && branch < max_paths; ++i) {
      if (taken[i]) continue;
      const std::vector<int32_t> path = PathThrough(static_cast<int32_t>(i));
      const size_t most = rows.empty() ? std::max(room.rows, room.path_rows) : room.rows;
      int32_t parent = -1;
      for (size_t depth = 0; depth < path.size() && rows.size() < most; ++depth) {
        const auto node = static_cast<size_t>(path[depth]);
        // What an earlier path has computed is computed again, as is what only leads to the rest.
        const bool out = !taken[node];
        if (out && outs == room.outs) break;
        outs += out;
        rows.push_back({path[depth], parent, request_.tree[node].token,
                        static_cast<uint32_t>(depth), out, static_cast<uint32_t>(branch)});
        parent = static_cast<int32_t>(rows.size()) - 1;
        taken[node] = true;
      }
      const bool cut = rows.size() >= most || outs == room.outs;
      while (!rows.empty() && !rows.back().out) rows.pop_back();  // which lead to nothing
      if (cut) break;
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
    const double total = LogSumExp(logits);
    for (int32_t c : children_[static_cast<size_t>(node + 1)]) {
      if (!request_.tree[static_cast<size_t>(c)].scored) continue;
      const TokenId token = request_.tree[static_cast<size_t>(c)].token;
      logprobs_[static_cast<size_t>(c)] =
          static_cast<float>(logits[static_cast<size_t>(token)] - total);
    }
    return Status();
  }

  ScoreRequest request_;
  std::vector<std::vector<int32_t>> children_;  // of node - 1; [0]: of the prompt
  std::vector<bool> done_;                      // nodes whose logits are not wanted any more
  size_t n_left_ = 0;                           // the others
  std::vector<float> logprobs_;
  bool wants_root_ = false, root_done_ = false;
};

class LogitsJob final : public Job {
 public:
  explicit LogitsJob(LogitsRequest request)
      : Job(std::move(request.tokens), request.priority, 0), request_(std::move(request)) {}

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
