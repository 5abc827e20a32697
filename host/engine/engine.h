// The engine: one executor thread per device, to which all calls of all scripts and clients go.
//
// Requests enter a bounded queue; the executor joins the rows of all running requests into one step
// (chunked prefill beside decode), calls the backend, which nobody else does, and hands results out
// through callbacks. A request is admitted when the pages for its prompt and its largest answer are free,
// so a running request never waits for memory.
// Threads: all methods from any thread; callbacks on the executor's.
#pragma once

#include <memory>

#include "engine/request.h"
#include "model/instance.h"

namespace minnow::engine {

struct EngineOptions {
  uint32_t max_queued = 4096;      // requests waiting; more are refused with kExhausted
  uint32_t step_tokens = 512;      // rows in one step, at most
};

struct EngineStats {
  uint64_t steps = 0, rows = 0;    // since the start
  uint32_t running = 0, queued = 0;
  uint32_t pages_used = 0, pages_total = 0;
};

class Engine {
 public:
  // The instance must outlive the engine. One model per engine for now.
  Engine(model::Instance& instance, EngineOptions options = {});
  ~Engine();  // cancels what is running and joins the executor; every on_done has been called
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Refusals: kOutOfRange (prompt and answer exceed the context; the message has the counts), kInvalid,
  // kExhausted (queue full: retry later), kUnavailable (shutting down). Then on_done is not called.
  Result<RequestId> Generate(GenerateRequest request);
  Result<RequestId> Score(ScoreRequest request);
  Result<RequestId> Logits(LogitsRequest request);

  // The request ends with kCancelled within one step, unless it has ended already. Unknown ids are ignored.
  void Cancel(RequestId id);

  EngineStats stats() const;
  model::Instance& instance() { return instance_; }

 private:
  class Executor;
  model::Instance& instance_;
  std::unique_ptr<Executor> executor_;
};

}  // namespace minnow::engine
