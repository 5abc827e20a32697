#include "engine/classify.h"

#include <cmath>
#include <set>

#include "engine/continuations.h"
#include "engine/engine.h"

namespace minnow::engine {

namespace {

ClassifyResult Finish(const std::vector<std::string>& labels, const Continuations& tree,
                      const std::vector<float>& logprobs, const Usage& usage) {
  ClassifyResult result;
  result.usage = usage;
  for (size_t i = 0; i < labels.size(); ++i) {
    double sum = 0;
    for (size_t node : tree.paths[i]) sum += logprobs[node];
    result.labels.push_back({labels[i], sum, 0});
    if (sum > result.labels[result.best].logprob) result.best = i;
  }
  double total = 0;
  for (LabelScore& l : result.labels)
    total += l.probability = std::exp(l.logprob - result.labels[result.best].logprob);
  for (LabelScore& l : result.labels) l.probability /= total;
  return result;
}

}  // namespace

Result<RequestId> Classify(Engine& engine, ClassifyRequest request) {
  if (request.labels.size() < 2) return Error(Code::kInvalid, "classify needs at least two labels");
  const text::Vocabulary& vocabulary = engine.model().tokenizer().vocabulary();
  const TokenId end = vocabulary.eot != text::kNoToken ? vocabulary.eot : vocabulary.eos;
  auto tree = std::make_shared<Continuations>();
  std::set<std::string> seen;
  for (const std::string& label : request.labels) {
    if (!seen.insert(label).second)
      return Error(Code::kInvalid, "label '{}' is given twice", label);
    MNW_ASSIGN(std::vector<TokenId> tokens, engine.model().EncodeContinuation(label));
    if (tokens.empty()) return Error(Code::kInvalid, "label '{}' has no tokens", label);
    if (end != text::kNoToken) tokens.push_back(end);
    tree->Add(tokens);
  }
  ScoreRequest score;
  score.prompt = std::move(request.prompt);
  score.tree = tree->nodes;
  score.priority = request.priority;
  score.deadline = request.deadline;
  score.adapter = request.adapter;
  score.on_done = [tree, labels = std::move(request.labels), done = std::move(request.on_done)](
                      Status status, std::vector<float> logprobs, Usage usage) {
    if (status.ok()) return done(Finish(labels, *tree, logprobs, usage));
    ClassifyResult result;
    result.status = std::move(status);
    result.usage = usage;
    done(std::move(result));
  };
  return engine.Score(std::move(score));
}

}  // namespace minnow::engine
