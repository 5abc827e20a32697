// The engine of one model: where requests go in.
//
// Requests of all scripts and clients enter the bounded queue of the device's executor, which joins
// the rows of all running requests into one step (chunked prefill beside decode) and hands results
// out through callbacks. What a prompt has in common with another, running or gone, is computed
// once. A request is admitted when there are pages for its prompt; one that finds none later makes
// another wait, whose tokens are then computed again: no answer depends on it. Threads: all methods
// from any thread; callbacks on the executor's.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "engine/executor.h"
#include "engine/prefix_state.h"
#include "engine/priors.h"
#include "engine/request.h"
#include "model/instance.h"

namespace minnow::constrain {
class Grammar;
class GrammarCache;
}  // namespace minnow::constrain

namespace minnow::engine {

class Engine {
 public:
  // Both must outlive the engine, and what `draft` (null: none) runs on. Several engines may share
  // an executor.
  Engine(Executor& executor, model::Instance& instance,
         std::unique_ptr<ModelDraft> draft = nullptr);
  ~Engine();  // cancels what is running; every on_done has been called when it returns
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // An encoder embeds and does nothing else, other models do not embed (kUnsupported). Further
  // refusals: kOutOfRange (prompt and answer exceed the context; the message has the counts),
  // kInvalid, kNotFound (the adapter is not loaded), kExhausted (queue full: retry later),
  // kUnavailable (shutting down). Then on_done is not called. What is wrong with the constraint
  // begins with its kind's name: "regex: offset 3: ...".
  Result<RequestId> Generate(GenerateRequest request);
  // Whether Generate takes the request's constraint, with its max_tokens.
  Status CheckConstraint(const GenerateRequest& request);
  Result<RequestId> Score(ScoreRequest request);
  Result<RequestId> Logits(LogitsRequest request);
  Result<RequestId> Embed(EmbedRequest request);
  // A model that keeps no prefixes (recurrent state, an encoder) holds none: kUnsupported.
  Result<RequestId> Hold(HoldRequest request);

  // What a hold has in the cache, and the way back (prefix_state.h).
  Result<Held> FindHeld(RequestId hold);
  Status ExportColumn(RequestId hold, size_t column, std::span<float> out);
  Result<RequestId> ImportPrefix(std::vector<TokenId> tokens, AdapterId adapter,
                                 const ReadColumn& read);

  // Puts an adapter, loaded for this instance, beside the model, between two steps. Requests that
  // name it then run through it, in one batch with others. kUnavailable: all places are taken;
  // kExhausted: no memory.
  Result<AdapterId> LoadAdapter(const model::Adapter& adapter);
  // No new request may use it; those that do run to their ends, and then its memory is free. What
  // is held through it is given up. kNotFound if it is not loaded.
  Status UnloadAdapter(AdapterId id);
  // The same without waiting, for callbacks; nothing if it is not loaded.
  void UnloadAdapterSoon(AdapterId id);
  AdapterStats adapter_stats(AdapterId id) const;  // zeros if it is not loaded

  // What the answers are known by, as far as it does not depend on the request (fingerprint.h).
  // Empty until somebody has set it.
  void SetIdentity(AdapterId adapter, std::string identity);
  std::string identity(AdapterId adapter) const;

  // The request ends with kCancelled within one step, unless it has ended already; a hold is given
  // up. Unknown ids are ignored.
  void Cancel(RequestId id);

  // What labels score without a document, for Classify.
  PriorTable& priors() { return priors_; }

  // Tokens that a request can have in all, prompt and answer.
  uint32_t longest() const;

  EngineStats stats() const;
  model::Instance& instance() { return instance_; }
  const model::Instance& instance() const { return instance_; }
  const model::Model& model() const { return instance_.model(); }

 private:
  Status CheckGenerates() const;
  Result<std::shared_ptr<constrain::Grammar>> MakeGrammar(const GenerateRequest& request);
  Status CheckHolds(std::span<const TokenId> tokens) const;
  Status CheckPrompt(std::span<const TokenId> prompt, uint64_t answer, uint32_t branches = 0) const;
  uint32_t Branches(const ScoreRequest& request) const;

  Executor& executor_;
  model::Instance& instance_;
  PriorTable priors_;
  ModelQueue* queue_;
  mutable std::mutex mutex_;                     // guards what follows
  std::map<AdapterId, std::string> identities_;  // of adapters that are loaded
  std::unique_ptr<constrain::GrammarCache> grammars_;
};

}  // namespace minnow::engine
