// One model's requests, on their way through the executor. Threads: as it says beside each.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "engine/executor.h"
#include "engine/step_cost.h"
#include "engine/turns.h"

namespace minnow::engine {

// What a hold's job has left: pages that are not given up.
struct HeldPrefix {
  std::vector<TokenId> tokens;
  PageTable pages;
  AdapterUse adapter;
};

struct ModelQueue {
  ModelQueue(model::Instance& i, std::unique_ptr<ModelDraft> d, const EngineOptions& o)
      : instance(i),
        draft(std::move(d)),
        adapters(i.options().adapter_slots),
        cache(i, o.step_tokens, o.prefix_cache_bytes) {
    // An encoder has no steps of one row, by which others are known from their smallest side.
    if (i.is_encoder()) cost.Observe(0, 0);
  }

  model::Instance& instance;
  // Null: none. Before the jobs, which have sequences there; the executor's alone.
  const std::unique_ptr<ModelDraft> draft;

  // Under the executor's mutex. Before the jobs, which hold uses of the adapters.
  AdapterSlots adapters;
  std::deque<std::unique_ptr<Job>> arrived;
  std::vector<RequestId> cancelled;
  uint32_t n_queued = 0;  // arrived and waiting
  bool leaving = false;
  Status lost;  // what ended everything, once a device of the model's is gone
  EngineStats stats;

  // The executor's alone.
  KvCache cache;
  std::deque<std::unique_ptr<Job>> waiting[2];  // by priority
  std::vector<std::unique_ptr<Job>> running;
  std::map<RequestId, HeldPrefix> held;  // the oldest first (holds.h)
  Step step;
  StepCost cost;
  Speculation speculation{cost, draft ? &draft->cost() : nullptr};
  uint32_t steps_without_batch = 0;  // in a row, in which batch work waited
  uint64_t steps = 0, rows = 0, prompt_tokens = 0, cached_tokens = 0, preemptions = 0;
  Turn turn;

  bool HasWork() {  // under the mutex
    return leaving || !arrived.empty() || !cancelled.empty() || !running.empty() ||
           !waiting[0].empty() || !waiting[1].empty() || adapters.Unused() ||
           adapters.HasLostHolds();
  }
};

}  // namespace minnow::engine
