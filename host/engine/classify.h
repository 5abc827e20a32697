// classify: which of a few labels continues a prompt best, by the probability of each whole label.
//
// A label is scored as all of its tokens, after the prompt, ended by the model's end-of-turn token,
// so that a label which is the beginning of another competes fairly. Probabilities are the softmax
// over the labels' log-probabilities: they sum to one. Threads: as Engine's.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"
#include "model/model.h"

namespace minnow::engine {

class Engine;

struct LabelScore {
  std::string label;
  double logprob;      // of the whole label
  double probability;  // among the labels
};

struct ClassifyResult {
  Status status;
  size_t best = 0;                 // index into labels
  std::vector<LabelScore> labels;  // in the caller's order
  Usage usage;
  std::string fingerprint{};  // of what answers (fingerprint.h)
};

struct ClassifyRequest {
  std::vector<TokenId> prompt;
  std::vector<std::string> labels;  // at least two, all different, none empty
  Priority priority = Priority::kInteractive;
  std::function<void(ClassifyResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

Result<RequestId> Classify(Engine& engine, ClassifyRequest request);

// The tokens that the longest label may add to a prompt.
Result<uint32_t> LongestLabel(const model::Model& model, std::span<const std::string> labels);

// Of a document that was asked about in parts: the mean of their probabilities, by these weights,
// and the sum of what they took. The first failure, if there is one.
ClassifyResult MeanOfParts(std::span<const ClassifyResult> parts, std::span<const double> weights);

// The user's turn that asks something of a document. The document comes first, so that one prefix
// serves many questions.
std::string DocumentTurn(std::string_view document, std::string_view question);

}  // namespace minnow::engine
