// score: how probable each of a few continuations of a prompt is, token by token.
//
// Continuations with a common beginning share its rows (continuations.h), and all of them are one
// or a few steps after one prefill. Threads: as Engine's.
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
  std::vector<ContinuationScore> continuations;  // in the caller's order
  Usage usage;
  std::string fingerprint{};  // of what answers (fingerprint.h)
};

struct ContinuationsRequest {
  std::vector<TokenId> prompt;
  std::vector<std::vector<TokenId>> continuations;  // at least one, none empty
  Priority priority = Priority::kInteractive;
  std::function<void(ScoreResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

Result<RequestId> ScoreContinuations(Engine& engine, ContinuationsRequest request);

}  // namespace minnow::engine
