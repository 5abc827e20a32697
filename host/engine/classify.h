// classify: how probable each of a question's labels is as the whole answer to it.
//
// A label is scored as all of its tokens, after the prompt, ended by the model's end-of-turn token,
// so that a label which is the beginning of another competes fairly. The questions of one request
// share what their prompts begin with, so those about one document read it once: where questions
// and labels fit into a step, it is all they take together. What the scores say is for
// label_choice.h. Threads: as Engine's.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

class Engine;

struct LabelScore {
  std::string label;
  double logprob = 0;        // of the whole label, and of the end of the turn
  uint32_t n_tokens = 0;     // of these
  double prior_logprob = 0;  // the same after the question's prior_prompt, if it has one
};

struct LabelQuestion {
  std::vector<TokenId> prompt;
  std::vector<std::string> labels;  // at least two, all different, none empty
  // The same question about no document, or nothing. What labels score there is computed once for
  // all documents (priors.h).
  std::vector<TokenId> prior_prompt{};
};

struct ClassifyResult {
  Status status;
  std::vector<std::vector<LabelScore>> answers;  // by question, its labels in their order
  Usage usage;
  std::string fingerprint{};  // of what answers (fingerprint.h)
};

struct ClassifyRequest {
  std::vector<LabelQuestion> questions;  // at least one; of several the prompts begin alike
  Priority priority = Priority::kInteractive;
  std::function<void(ClassifyResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

// Of several questions each has to fit into a step, from where they differ on: kOutOfRange.
Result<RequestId> Classify(Engine& engine, ClassifyRequest request);

// The user's turn that asks something of a document. The document comes first, so that one prefix
// serves many questions.
std::string DocumentTurn(std::string_view document, std::string_view question);

}  // namespace minnow::engine
