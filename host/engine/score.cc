#include "engine/score.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "engine/continuations.h"
#include "engine/engine.h"
#include "engine/sampler.h"

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

// Tokens that are computed and kept like any prompt's, since a tree's have to fit into a step. The
// log-probabilities are those of the last `n_scored` tokens; `next`: with the likeliest behind
// them.
Result<RequestId> ScoreText(Engine& engine, ContinuationsRequest request,
                            std::vector<TokenId> tokens, size_t n_scored, bool next) {
  struct Scored {
    std::vector<TokenId> tokens;
    ContinuationScore score;
  };
  const auto n_prompt = static_cast<uint32_t>(request.prompt.size());
  const auto scored = std::make_shared<Scored>(Scored{std::move(tokens), {}});
  LogitsRequest logits;
  logits.tokens = scored->tokens;
  if (!next) logits.tokens.pop_back();
  logits.n_last = static_cast<uint32_t>(n_scored + next);
  logits.priority = request.priority;
  logits.deadline = request.deadline;
  logits.adapter = request.adapter;
  logits.on_logits = [scored](size_t position, std::span<const float> row) {
    ContinuationScore& score = scored->score;
    const bool is_next = position + 1 == scored->tokens.size();
    const auto token = is_next ? static_cast<TokenId>(std::ranges::max_element(row) - row.begin())
                               : scored->tokens[position + 1];
    const double logprob = row[static_cast<size_t>(token)] - LogSumExp(row);
    score.tokens.push_back(token);
    score.token_logprobs.push_back(static_cast<float>(logprob));
    if (!is_next) score.logprob += score.token_logprobs.back();
  };
  logits.on_done = [scored, next, n_prompt, done = std::move(request.on_done),
                    identity = engine.identity(request.adapter)](Status status, Usage usage) {
    ScoreResult result;
    if (status.ok()) {
      if (next) {
        ContinuationScore& score = scored->score;
        score.tokens.insert(score.tokens.begin(), scored->tokens[0]);
        score.token_logprobs.insert(score.token_logprobs.begin(),
                                    std::numeric_limits<float>::quiet_NaN());
      }
      result.continuations.push_back(std::move(scored->score));
    }
    result.status = std::move(status);
    result.fingerprint = identity;
    result.usage = usage;
    result.usage.prompt_tokens = n_prompt;
    done(std::move(result));
  };
  return engine.Logits(std::move(logits));
}

}  // namespace

Result<RequestId> ScoreContinuations(Engine& engine, ContinuationsRequest request) {
  for (size_t i = 0; i < request.continuations.size(); ++i) {
    if (!request.continuations[i].empty()) continue;
    return Error(Code::kInvalid, "continuation {} has no tokens", i + 1);
  }
  std::vector<TokenId> all = request.prompt;
  if (all.empty()) return Error(Code::kInvalid, "the prompt is empty");
  if (request.continuations.empty()) {
    const size_t n = all.size() - 1;
    return ScoreText(engine, std::move(request), std::move(all), n, true);
  }
  if (request.continuations.size() == 1) {
    const std::vector<TokenId>& only = request.continuations[0];
    all.insert(all.end(), only.begin(), only.end());
    const size_t n = only.size();
    return ScoreText(engine, std::move(request), std::move(all), n, false);
  }
  auto tree = std::make_shared<Continuations>();
  for (const std::vector<TokenId>& tokens : request.continuations) tree->Add(tokens);
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
