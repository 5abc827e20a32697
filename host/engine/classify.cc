#include "engine/classify.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/continuations.h"
#include "engine/engine.h"

namespace minnow::engine {

namespace {

ClassifyResult Finish(const std::vector<std::string>& labels, const Continuations& tree,
                      const std::vector<float>& logprobs) {
  ClassifyResult result;
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
  score.on_done = [tree, labels = std::move(request.labels), done = std::move(request.on_done),
                   identity = engine.identity(request.adapter)](
                      Status status, std::vector<float> logprobs, Usage usage) {
    ClassifyResult result;
    if (status.ok()) result = Finish(labels, *tree, logprobs);
    result.status = std::move(status);
    result.fingerprint = identity;
    result.usage = usage;
    done(std::move(result));
  };
  return engine.Score(std::move(score));
}

Result<uint32_t> LongestLabel(const model::Model& model, std::span<const std::string> labels) {
  size_t longest = 0;
  for (const std::string& label : labels) {
    MNW_ASSIGN(const std::vector<TokenId> tokens, model.EncodeContinuation(label));
    longest = std::max(longest, tokens.size() + 1);  // and the end of the turn
  }
  return static_cast<uint32_t>(longest);
}

ClassifyResult MeanOfParts(std::span<const ClassifyResult> parts, std::span<const double> weights) {
  ClassifyResult mean = parts[0];
  for (LabelScore& label : mean.labels) label.logprob = label.probability = 0;
  mean.usage = Usage();
  double total = 0;
  for (const double weight : weights) total += weight;
  for (size_t p = 0; p < parts.size(); ++p) {
    const Usage& usage = parts[p].usage;
    mean.usage.prompt_tokens += usage.prompt_tokens;
    mean.usage.cached_tokens += usage.cached_tokens;
    mean.usage.queue_seconds = std::max(mean.usage.queue_seconds, usage.queue_seconds);
    mean.usage.prefill_seconds = std::max(mean.usage.prefill_seconds, usage.prefill_seconds);
    mean.usage.decode_seconds = std::max(mean.usage.decode_seconds, usage.decode_seconds);
    if (mean.status.ok()) mean.status = parts[p].status;
    if (!mean.status.ok()) continue;
    for (size_t i = 0; i < mean.labels.size(); ++i) {
      mean.labels[i].logprob += parts[p].labels[i].logprob * weights[p] / total;
      mean.labels[i].probability += parts[p].labels[i].probability * weights[p] / total;
    }
  }
  const auto less = [](const LabelScore& a, const LabelScore& b) {
    return a.probability < b.probability;
  };
  mean.best =
      static_cast<size_t>(std::ranges::max_element(mean.labels, less) - mean.labels.begin());
  return mean;
}

}  // namespace minnow::engine
