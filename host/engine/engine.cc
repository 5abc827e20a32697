#include "engine/engine.h"

#include <algorithm>

#include "constrain/grammar_cache.h"
#include "engine/fingerprint.h"
#include "engine/tool_format.h"

namespace minnow::engine {

Engine::Engine(Executor& executor, model::Instance& instance, std::unique_ptr<ModelDraft> draft)
    : executor_(executor),
      instance_(instance),
      queue_(executor.AddModel(instance, std::move(draft))) {}

Engine::~Engine() { executor_.RemoveModel(queue_); }

Status Engine::CheckGenerates() const {
  if (!instance_.is_encoder()) return Status();
  return Error(Code::kUnsupported, "the model embeds text and cannot generate or score");
}

Status Engine::CheckPrompt(std::span<const TokenId> prompt, uint64_t answer,
                           uint32_t branches) const {
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
        "lower max_tokens or raise --ctx-size; of a document, on_overflow says what to keep",
        prompt.size(), answer, instance_.n_ctx());
  }
  if (!executor_.CanEverFit(queue_, static_cast<uint32_t>(length), branches)) {
    return branches > 0 && executor_.CanEverFit(queue_, static_cast<uint32_t>(length), 0)
               ? Error(Code::kOutOfRange,
                       "scoring needs a second block of recurrent state, for which memory is short")
               : Error(Code::kOutOfRange, "{} tokens exceed the cache; raise --kv-tokens", length);
  }
  return Status();
}

Result<RequestId> Engine::Generate(GenerateRequest request) {
  MNW_TRY(CheckGenerates());
  MNW_TRY(Validate(request.sampling));
  if (request.max_tokens == 0) return Error(Code::kInvalid, "max_tokens must be at least 1");
  const auto empty = [](const std::string& s) { return s.empty(); };
  if (std::any_of(request.stop.begin(), request.stop.end(), empty)) {
    return Error(Code::kInvalid, "a stop string is empty");
  }
  MNW_TRY(CheckPrompt(request.prompt, request.max_tokens));
  std::shared_ptr<constrain::Grammar> grammar;
  if (request.constraint) {
    const char* const kind = constrain::KindName(request.constraint.kind);
    Status settled = SettleToolFormat(model(), &request);
    if (!settled.ok()) return std::move(settled).Annotate(kind);
    auto made = MakeGrammar(request);
    if (!made.ok()) return std::move(made).status().Annotate(kind);
    grammar = *std::move(made);
  }
  const AdapterId adapter = request.adapter;
  const Deadline deadline = request.deadline;
  if (std::string fingerprint = Fingerprint(identity(adapter), request); !fingerprint.empty()) {
    request.on_done = [fingerprint = std::move(fingerprint),
                       done = std::move(request.on_done)](GenerateResult result) {
      result.fingerprint = fingerprint;
      if (done) done(std::move(result));
    };
  }
  return executor_.Submit(
      queue_,
      MakeGenerateJob(std::move(request), instance_.has_model() ? &model() : nullptr,
                      std::move(grammar)),
      adapter, deadline);
}

Status Engine::CheckConstraint(const GenerateRequest& request) {
  GenerateRequest settled = request;
  MNW_TRY(SettleToolFormat(model(), &settled));
  return MakeGrammar(settled).status();
}

Result<std::shared_ptr<constrain::Grammar>> Engine::MakeGrammar(const GenerateRequest& request) {
  if (!request.stop.empty() || request.ignore_end) {
    return Error(Code::kInvalid,
                 "stop strings and a {} exclude each other: the answer ends where it is complete",
                 constrain::KindName(request.constraint.kind));
  }
  {
    const std::lock_guard lock(mutex_);
    if (!grammars_) grammars_ = std::make_unique<constrain::GrammarCache>(model().tokenizer());
  }
  MNW_ASSIGN(std::shared_ptr<constrain::Grammar> grammar, grammars_->Get(request.constraint));
  if (grammar->shortest() > request.max_tokens) {
    return Error(
        Code::kInvalid, "max_tokens is {}, but the shortest answer that the {} allows takes {}",
        request.max_tokens, constrain::KindName(request.constraint.kind), grammar->shortest());
  }
  return grammar;
}

// How many paths of the tree may run side by side: as many as it has, within a few blocks of the
// state. 0 where no state is recurrent.
uint32_t Engine::Branches(const ScoreRequest& request) const {
  constexpr uint32_t kMost = 4;
  uint32_t blocks = 0;
  for (uint32_t g = 0; g < instance_.n_groups(); ++g) {
    if (instance_.recurrent(g)) blocks = instance_.n_pages(g);
  }
  if (blocks == 0) return 0;
  std::vector<bool> is_parent(request.tree.size());
  for (const ScoreRequest::Node& node : request.tree) {
    if (node.parent >= 0) is_parent[static_cast<size_t>(node.parent)] = true;
  }
  const auto leaves = std::count(is_parent.begin(), is_parent.end(), false);
  // At least one, though there may be no block for it: then the request does not fit.
  return static_cast<uint32_t>(
      std::clamp<int64_t>(std::min<int64_t>(leaves, blocks - 1), 1, kMost));
}

Result<RequestId> Engine::Score(ScoreRequest request) {
  MNW_TRY(CheckGenerates());
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
  const uint32_t most = std::min(executor_.options().step_tokens, o.max_tokens);
  if (deepest > most) {
    return Error(Code::kOutOfRange,
                 "a continuation, or a question of a list with its label, has {} tokens and a step "
                 "has {}; ask about it by itself",
                 deepest, most);
  }
  const uint32_t branches = Branches(request);
  MNW_TRY(CheckPrompt(request.prompt, deepest, branches));
  const AdapterId adapter = request.adapter;
  const Deadline deadline = request.deadline;
  return executor_.Submit(queue_, MakeScoreJob(std::move(request), branches), adapter, deadline);
}

Result<RequestId> Engine::Logits(LogitsRequest request) {
  MNW_TRY(CheckGenerates());
  if (request.on_logits == nullptr) return Error(Code::kInvalid, "nobody takes the logits");
  MNW_TRY(CheckPrompt(request.tokens, 0));
  const AdapterId adapter = request.adapter;
  const Deadline deadline = request.deadline;
  return executor_.Submit(queue_, MakeLogitsJob(std::move(request)), adapter, deadline);
}

Result<RequestId> Engine::Embed(EmbedRequest request) {
  if (!instance_.is_encoder()) {
    return Error(Code::kUnsupported,
                 "the model generates text and has no embedding; use an encoder, such as BERT's");
  }
  MNW_TRY(CheckPrompt(request.tokens, 0));
  const AdapterId adapter = request.adapter;
  const Deadline deadline = request.deadline;
  return executor_.Submit(queue_, MakeEmbedJob(std::move(request)), adapter, deadline);
}

Status Engine::CheckHolds(std::span<const TokenId> tokens) const {
  bool keeps = instance_.n_groups() > 0;
  for (uint32_t g = 0; g < instance_.n_groups(); ++g) keeps &= !instance_.recurrent(g);
  if (!keeps) {
    return Error(Code::kUnsupported,
                 "the model keeps nothing that questions could share: its state "
                 "is of one position");
  }
  return CheckPrompt(tokens, 0);
}

Result<RequestId> Engine::Hold(HoldRequest request) {
  MNW_TRY(CheckHolds(request.tokens));
  const AdapterId adapter = request.adapter;
  const Deadline deadline = request.deadline;
  return executor_.Submit(queue_, MakeHoldJob(std::move(request)), adapter, deadline);
}

Result<Held> Engine::FindHeld(RequestId hold) { return engine::FindHeld(executor_, *queue_, hold); }

Status Engine::ExportColumn(RequestId hold, size_t column, std::span<float> out) {
  return engine::ExportColumn(executor_, *queue_, hold, column, out);
}

Result<RequestId> Engine::ImportPrefix(std::vector<TokenId> tokens, AdapterId adapter,
                                       const ReadColumn& read) {
  MNW_TRY(CheckHolds(tokens));
  return engine::ImportPrefix(executor_, *queue_, std::move(tokens), adapter, read);
}

Result<AdapterId> Engine::LoadAdapter(const model::Adapter& adapter) {
  return executor_.LoadAdapter(queue_, adapter);
}

Status Engine::UnloadAdapter(AdapterId id) {
  MNW_TRY(executor_.UnloadAdapter(queue_, id));
  const std::lock_guard lock(mutex_);
  identities_.erase(id);
  return Status();
}

void Engine::SetIdentity(AdapterId adapter, std::string identity) {
  const std::lock_guard lock(mutex_);
  identities_[adapter] = std::move(identity);
}

std::string Engine::identity(AdapterId adapter) const {
  const std::lock_guard lock(mutex_);
  const auto found = identities_.find(adapter);
  return found == identities_.end() ? "" : found->second;
}

void Engine::UnloadAdapterSoon(AdapterId id) {
  executor_.UnloadAdapterSoon(queue_, id);
  const std::lock_guard lock(mutex_);
  identities_.erase(id);
}

AdapterStats Engine::adapter_stats(AdapterId id) const {
  return executor_.adapter_stats(queue_, id);
}

void Engine::Cancel(RequestId id) { executor_.Cancel(id); }

uint32_t Engine::longest() const {
  uint32_t fits = 0, exceeds = instance_.n_ctx() + 1;
  while (fits + 1 < exceeds) {
    const uint32_t length = fits + (exceeds - fits) / 2;
    (executor_.CanEverFit(queue_, length, 0) ? fits : exceeds) = length;
  }
  return fits;
}

EngineStats Engine::stats() const { return executor_.stats(queue_); }

}  // namespace minnow::engine
