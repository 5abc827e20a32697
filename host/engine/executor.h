// The executor of a device: the one thread that calls its backend.
//
// Every model on the device has a queue here. The executor takes turns among the models that have
// work, so that each has its share of the device's time: admits requests, builds a step, runs it,
// delivers. See README.md beside this file for who
// owns what. Threads: Submit, Cancel and stats from any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/job.h"
#include "engine/step_builder.h"

namespace minnow::engine {

struct EngineOptions {
  uint32_t max_queued = 4096;  // requests waiting per model; more are refused with kExhausted
  uint32_t step_tokens = 512;  // rows of a step, at most; not 0
  // The time to which steps of batch work are sized while interactive requests come: the most that
  // one of those has to wait for a step that it is not in. 0: no limit.
  double step_seconds = 0.040;
  // Per model, what prefixes may take of the cache when no running request stands on them.
  uint64_t prefix_cache_bytes = kPrefixCacheByContext;
};

struct EngineStats {
  uint64_t steps = 0, rows = 0;  // since the start
  uint32_t running = 0, queued = 0;
  uint32_t pages_used = 0, pages_kept = 0, pages_total = 0;  // by requests; for later ones; in all
  uint64_t prompt_tokens = 0, cached_tokens = 0;             // of requests that ended; see Usage
  uint64_t preemptions = 0;
  uint32_t holds = 0;          // prefixes that are kept whatever else needs room
  uint32_t adapters = 0;       // loaded, being loaded, or in use after they were unloaded
  uint64_t adapter_bytes = 0;  // memory of the backends' own
};

struct AdapterStats {
  uint64_t bytes = 0;     // memory of the backends' own
  uint32_t requests = 0;  // that go through it, from submission to end
  uint32_t holds = 0;     // prefixes that are pinned through it
};

// One model's requests. Only the executor looks inside.
struct ModelQueue;

class Executor {
 public:
  explicit Executor(const EngineOptions& options = {});
  ~Executor();  // REQUIRES: no model left
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  const EngineOptions& options() const { return options_; }

  // `draft`: a draft model beside it, or null.
  ModelQueue* AddModel(model::Instance& instance, std::unique_ptr<ModelDraft> draft = nullptr);
  // Ends what is left with kUnavailable; returns when the executor has let go of the instance.
  void RemoveModel(ModelQueue* queue);

  // kNotFound if the adapter is not loaded.
  Result<RequestId> Submit(ModelQueue* queue, std::unique_ptr<Job> job, AdapterId adapter = 0,
                           Deadline deadline = kNoDeadline);
  void Cancel(RequestId id);
  EngineStats stats(const ModelQueue* queue) const;
  // Calls `task` on the executor's thread between two steps and waits for it: how anything else
  // that calls the backend (opening and closing models) keeps out of its way.
  void Call(const std::function<void()>& task);
  // A number for what comes to a model by other ways than Submit (prefix_state.h), with the use of
  // its adapter.
  Result<RequestId> Register(ModelQueue* queue, AdapterId adapter, AdapterUse* use);
  // See Engine.
  Result<AdapterId> LoadAdapter(ModelQueue* queue, const model::Adapter& adapter);
  Status UnloadAdapter(ModelQueue* queue, AdapterId id);
  void UnloadAdapterSoon(ModelQueue* queue, AdapterId id);
  AdapterStats adapter_stats(const ModelQueue* queue, AdapterId id) const;
  // Can a request of this length run at all, in an empty cache?
  bool CanEverFit(const ModelQueue* queue, uint32_t length, uint32_t branches) const;

 private:
  void Work();
  ModelQueue& NextQueue();
  void RunStep(ModelQueue& queue);
  StepLimits Limits(const ModelQueue& queue, Clock::time_point begin);
  void Charge(ModelQueue& queue, double seconds);
  std::vector<RequestId> TakeArrivals(ModelQueue& queue);  // returns the cancelled ones
  void EndCancelled(ModelQueue& queue, std::span<const RequestId> ids);
  void EndExpired(ModelQueue& queue);
  void Deliver(ModelQueue& queue, std::span<const float> output);
  void FailRunning(ModelQueue& queue, const Status& status);
  void Share(ModelQueue& queue, Job& job, size_t before);
  void CommitDrafts(ModelQueue& queue, std::span<Status> failed);
  void EndJob(ModelQueue& queue, size_t index, Status status);
  void EndAll(ModelQueue& queue, const Status& status);
  void FreeAdapters(ModelQueue& queue);
  void LoseDevice(ModelQueue& queue, const Status& why);
  void Publish(ModelQueue& queue);

  const EngineOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, removed_, called_;
  std::deque<const std::function<void()>*> tasks_;
  std::vector<std::unique_ptr<ModelQueue>> queues_;
  RequestId next_id_ = 1;
  AdapterId next_adapter_ = 1;
  Clock::time_point last_interactive_{};  // when one arrived or ran; the executor's
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace minnow::engine
