#include "engine/engine.h"

#include <algorithm>

namespace minnow::engine {

Engine::Engine(Executor& executor, model::Instance& instance)
    : executor_(executor), instance_(instance), queue_(executor.AddModel(instance)) {}

Engine::~Engine() { executor_.RemoveModel(queue_); }

Status Engine::CheckPrompt(std::span<const TokenId> prompt, uint64_t answer) const {
  if (prompt.empty()) return Error(Code::kInvalid, "the prompt is empty");
  for (TokenId token : prompt) {
    if (token < 0 || static_cast<uint32_t>(token) >= instance_.n_vocab()) {
      return Error(Code::kInvalid, "token {} is not in the vocabulary of {} tokens", token,
                   instance_.n_vocab());
    }
  }
  const uint64_t length = prompt.size() + answer;
  if (length > instance_.n_ctx()) {
    return Error(
        Code::kOutOfRange,
        "prompt of {} tokens and answer of up to {} exceed the context of {}; shorten the text, "
        "lower max_tokens or raise --ctx-size",
        prompt.size(), answer, instance_.n_ctx());
  }
  if (!executor_.CanEverFit(queue_, static_cast<uint32_t>(length))) {
    return Error(Code::kOutOfRange, "{} tokens exceed the cache; raise --kv-tokens", length);
  }
  return Status();
}

Result<RequestId> Engine::Generate(GenerateRequest request) {
  MNW_TRY(Validate(request.sampling));
  if (request.max_tokens == 0) return Error(Code::kInvalid, "max_tokens must be at least 1");
  const auto empty = [](const std::string& s) { return s.empty(); };
  if (std::any_of(request.stop.begin(), request.stop.end(), empty)) {
    return Error(Code::kInvalid, "a stop string is empty");
  }
  MNW_TRY(CheckPrompt(request.prompt, request.max_tokens));
  return executor_.Submit(
      queue_, MakeGenerateJob(std::move(request), instance_.has_model() ? &model() : nullptr));
}

Result<RequestId> Engine::Score(ScoreRequest request) {
  if (request.tree.empty()) return Error(Code::kInvalid, "there is nothing to score");
  std::vector<uint32_t> depth(request.tree.size());
  uint32_t deepest = 0;
  for (size_t i = 0; i < request.tree.size(); ++i) {
    const ScoreRequest::Node& node = request.tree[i];
    if (node.parent < -1 || node.parent >= static_cast<int64_t>(i)) {
      return Error(Code::kInvalid, "node {} of the tree has parent {}, which is no earlier node", i,
                   node.parent);
    }
    if (node.token < 0 || static_cast<uint32_t>(node.token) >= instance_.n_vocab()) {
      return Error(Code::kInvalid, "token {} is not in the vocabulary of {} tokens", node.token,
                   instance_.n_vocab());
    }
    depth[i] = node.parent < 0 ? 1 : depth[static_cast<size_t>(node.parent)] + 1;
    deepest = std::max(deepest, depth[i]);
  }
  // A path of the tree is computed in one step.
  const auto& o = instance_.options();
  if (deepest > std::min({executor_.options().step_tokens, o.max_tokens, o.max_out})) {
    return Error(Code::kOutOfRange, "a continuation of {} tokens is longer than a step", deepest);
  }
  MNW_TRY(CheckPrompt(request.prompt, deepest));
  return executor_.Submit(queue_, MakeScoreJob(std::move(request)));
}

Result<RequestId> Engine::Logits(LogitsRequest request) {
  if (request.on_logits == nullptr) return Error(Code::kInvalid, "nobody takes the logits");
  MNW_TRY(CheckPrompt(request.tokens, 0));
  return executor_.Submit(queue_, MakeLogitsJob(std::move(request)));
}

void Engine::Cancel(RequestId id) { executor_.Cancel(id); }

EngineStats Engine::stats() const { return executor_.stats(queue_); }

}  // namespace minnow::engine
