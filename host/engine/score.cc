#include "engine/score.h"

#include <memory>
#include <utility>

#include "engine/continuations.h"
#include "engine/engine.h"

namespace minnow::engine {

namespace {

ScoreResult Collect(const Continuations& tree, const std::vector<float>& logprobs) {
  ScoreResult result;
  for (const std::vector<size_t>& path : tree.paths) {
    ContinuationScore score;
    for (const size_t node : path) {
      score.tokens.push_back(tree.nodes[node].token);
      score.token_logprobs.push_back(logprobs[node]);
      score.logprob += logprobs[node];
    }
    result.continuations.push_back(std::move(score));
  }
  return result;
}

}  // namespace

Result<RequestId> ScoreContinuations(Engine& engine, ContinuationsRequest request) {
  if (request.continuations.empty()) {
    return Error(Code::kInvalid, "score needs at least one continuation");
  }
  auto tree = std::make_shared<Continuations>();
  for (size_t i = 0; i < request.continuations.size(); ++i) {
    if (request.continuations[i].empty()) {
      return Error(Code::kInvalid, "continuation {} has no tokens", i + 1);
    }
    tree->Add(request.continuations[i]);
  }
  ScoreRequest score;
  score.prompt = std::move(request.prompt);
  score.tree = tree->nodes;
  score.priority = request.priority;
  score.deadline = request.deadline;
  score.adapter = request.adapter;
  score.on_done = [tree, done = std::move(request.on_done),
                   identity = engine.identity(request.adapter)](
                      Status status, const std::vector<float>& logprobs, Usage usage) {
    ScoreResult result;
    if (status.ok()) result = Collect(*tree, logprobs);
    result.status = std::move(status);
    result.fingerprint = identity;
    result.usage = usage;
    done(std::move(result));
  };
  return engine.Score(std::move(score));
}

}  // namespace minnow::engine
