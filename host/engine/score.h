// score: how probable each of a few continuations of a prompt is, token by token; or a whole text.
//
// Continuations with a common beginning share its rows (continuations.h), and all of them are one
// or a few steps after one prefill. A single one, and a text, may be as long as the context.
// Threads: as Engine's.
#pragma once

#include <functional>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

class Engine;

struct ContinuationScore {
  double logprob = 0;                 // the sum
  std::vector<TokenId> tokens;        // as they were asked for
  std::vector<float> token_logprobs;  // natural logarithms, each after all that stands before it
};

struct ScoreResult {
  Status status;
  // In the caller's order. If none was asked for, one: the prompt itself, whose first token has no
  // log-probability (NaN), and behind it the token that is likeliest to follow, which the sum
  // leaves out. That is what others give for `echo` with one more token.
  std::vector<ContinuationScore> continuations;
  Usage usage;
  std::string fingerprint{};  // of what answers (fingerprint.h)
};

struct ContinuationsRequest {
  std::vector<TokenId> prompt;
  std::vector<std::vector<TokenId>> continuations;  // none empty; none: the prompt itself
  Priority priority = Priority::kInteractive;
  std::function<void(ScoreResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

Result<RequestId> ScoreContinuations(Engine& engine, ContinuationsRequest request);

}  // namespace minnow::engine
