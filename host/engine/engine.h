// The engine of one model: where requests go in.
//
// Requests of all scripts and clients enter the bounded queue of the device's executor, which joins
// the rows of all running requests into one step (chunked prefill beside decode) and hands results
// out through callbacks. What a prompt has in common with another, running or gone, is computed
// once. A request is admitted when there are pages for its prompt; one that finds none later makes
// another wait, whose tokens are then computed again: no answer depends on it. Threads: all methods
// from any thread; callbacks on the executor's.
#pragma once

#include <memory>

#include "engine/executor.h"
#include "engine/request.h"
#include "model/instance.h"

namespace minnow::engine {

class Engine {
 public:
  // Both must outlive the engine. Several engines may share an executor.
  Engine(Executor& executor, model::Instance& instance);
  ~Engine();  // cancels what is running; every on_done has been called when it returns
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // An encoder embeds and does nothing else, other models do not embed (kUnsupported). Further
  // refusals: kOutOfRange (prompt and answer exceed the context; the message has the counts),
  // kInvalid, kNotFound (the adapter is not loaded), kExhausted (queue full: retry later),
  // kUnavailable (shutting down). Then on_done is not called.
  Result<RequestId> Generate(GenerateRequest request);
  Result<RequestId> Score(ScoreRequest request);
  Result<RequestId> Logits(LogitsRequest request);
  Result<RequestId> Embed(EmbedRequest request);

  // Puts an adapter, loaded for this instance, beside the model, between two steps. Requests that
  // name it then run through it, in one batch with others. kExhausted: all places are taken.
  Result<AdapterId> LoadAdapter(const model::Adapter& adapter);
  // No new request may use it; those that do run to their ends, and then its memory is free.
  // kNotFound if it is not loaded.
  Status UnloadAdapter(AdapterId id);

  // The request ends with kCancelled within one step, unless it has ended already. Unknown ids are
  // ignored.
  void Cancel(RequestId id);

  EngineStats stats() const;
  model::Instance& instance() { return instance_; }
  const model::Model& model() const { return instance_.model(); }

 private:
  Status CheckGenerates() const;
  Status CheckPrompt(std::span<const TokenId> prompt, uint64_t answer, uint32_t branches = 0) const;
  uint32_t Branches(const ScoreRequest& request) const;

  Executor& executor_;
  model::Instance& instance_;
  ModelQueue* queue_;
};

}  // namespace minnow::engine
