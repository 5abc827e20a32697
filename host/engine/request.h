// What callers ask of an engine, and what they get back.
//
// Callbacks run on the executor's thread, between steps: they hand the data on and return at once.
// They are never called after on_done.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "constrain/constraint.h"

namespace minnow::engine {

class DraftSource;  // draft.h

using TokenId = int32_t;
using RequestId = uint64_t;  // never reused within an engine; 0 is none
using AdapterId = uint64_t;  // likewise; 0 is the model without adapter

// A request that is not done at its deadline ends with kDeadline, within one step; one that still
// waits never runs.
using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
inline constexpr Deadline kNoDeadline = Deadline::max();

// How the next token is chosen. Noise is a function of (seed, position, token), so the same request
// gives the same answer whatever runs beside it. See abi/backend.h, mnw_sample_row, for the order
// of the steps.
struct Sampling {
  float temperature = 0;  // 0: greedy
  uint32_t top_k = 0;     // 0: off
  float top_p = 1;        // 1: off
  float min_p = 0;        // 0: off
  uint64_t seed = 0;
};
Status Validate(const Sampling& sampling);  // names the option and its range

enum class Priority { kInteractive, kBatch };

enum class FinishReason { kStop, kLength, kCancelled, kError };
const char* FinishReasonName(FinishReason reason);  // "stop", "length", ...

struct TokenLogprob {
  TokenId token;
  float logprob;  // natural log, over the whole vocabulary, before temperature and filters
};

struct GeneratedToken {
  TokenId token;
  float logprob;
  std::vector<TokenLogprob> top;  // Request::n_logprobs of them, descending
  bool forced = false;            // the grammar left no choice: the model was not asked
};

struct Usage {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of the prompt's, those that another request had computed before
  uint32_t completion_tokens = 0;
  uint32_t drafted_tokens = 0;   // guessed, and computed beside the answer's own
  uint32_t accepted_tokens = 0;  // of these, what the answer then had: each saved it a step
  double queue_seconds = 0;      // submitted to first step
  double prefill_seconds = 0;    // first step to first token
  double decode_seconds = 0;     // first token to last
};

struct GenerateResult {
  Status status;  // not ok only with kError
  FinishReason finish_reason = FinishReason::kError;
  std::string text;                    // without the end-of-turn token and the stop string
  std::vector<GeneratedToken> tokens;  // their logprobs are filled if n_logprobs > 0
  std::string stop_string;             // the one that was met, if any
  Usage usage;
  std::string fingerprint{};  // fingerprint.h; empty where nobody asked for it
};

struct GenerateRequest {
  std::vector<TokenId> prompt;
  uint32_t max_tokens = 256;
  Sampling sampling;
  uint32_t n_logprobs = 0;
  std::vector<std::string> stop;     // strings; the model's end-of-turn tokens always stop
  bool ignore_end = false;           // benchmarks: run to max_tokens
  constrain::Constraint constraint;  // what the answer has to be; it then ends within max_tokens
  bool speculate = true;             // guess ahead where it pays; the answer is the same
  std::shared_ptr<DraftSource>
      draft;  // who guesses, for this request alone; null: as speculation.h says
  Priority priority = Priority::kInteractive;
  // Text that can no longer become part of a stop string or of an incomplete UTF-8 sequence. May be
  // null.
  std::function<void(std::string_view text, const GeneratedToken& token)> on_token;
  std::function<void(GenerateResult)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

// Log-probabilities of continuations of a prompt. The continuations form a tree: node i continues
// node parent[i] (or the prompt, -1), so labels with a common beginning share its rows, and so do
// questions about one document, whose own tokens are nodes that nobody wants the probability of.
// All of it is one or a few steps, and nothing of the tree is committed to the cache.
struct ScoreRequest {
  struct Node {
    int32_t parent;  // index of an earlier node, or -1
    TokenId token;
    bool scored = true;
  };
  std::vector<TokenId> prompt;
  std::vector<Node> tree;
  Priority priority = Priority::kInteractive;
  // logprobs[i]: natural log of the probability of node i's token after its ancestors; 0 where it
  // is not scored.
  std::function<void(Status, std::vector<float> logprobs, Usage)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

// The logits after each of the last n_last tokens of a sequence (perplexity, tests of numerics).
struct LogitsRequest {
  std::vector<TokenId> tokens;
  uint32_t n_last = 1;
  // `position`: index of the token after which these logits predict. The span dies with the call.
  std::function<void(size_t position, std::span<const float> logits)> on_logits;
  std::function<void(Status, Usage)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
  Priority priority = Priority::kInteractive;
};

// One vector for a text, from a model that is an encoder.
struct EmbedRequest {
  std::vector<TokenId> tokens;  // with those that the model puts around a text
  Priority priority = Priority::kInteractive;
  std::function<void(Status, std::vector<float> embedding, Usage)> on_done;
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;
};

// The beginning of prompts to come: computed now, and its part of the cache kept until the request
// is cancelled (a pin). What needs the memory for itself alone takes it all the same: then the
// tokens are computed again.
struct HoldRequest {
  std::vector<TokenId> tokens;
  Priority priority = Priority::kInteractive;
  std::function<void(Status, RequestId hold, Usage)> on_done;  // it is there
  AdapterId adapter = 0;
  Deadline deadline = kNoDeadline;  // of the computing
};

}  // namespace minnow::engine
