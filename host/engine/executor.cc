#include "engine/executor.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "engine/admission.h"
#include "engine/holds.h"
#include "engine/model_queue.h"
#include "engine/step_limits.h"

namespace minnow::engine {

namespace {

// Interactive requests have come within so long: more are expected, and are not to wait for long.
constexpr std::chrono::seconds kLately{60};
// What an adapter that is loaded then may add to the time between two steps.
constexpr std::chrono::milliseconds kAdapterSlice{5};

// Weights with NaN or infinite scales load, and show here first. Nobody is given such a row: a
// sampler that passed over the bad entries would go on for ever with what is no distribution.
Status CheckFinite(std::span<const float> logits, size_t position) {
  uint32_t any = 0;  // without a branch: 150,000 entries a row
  for (const float x : logits) any |= (std::bit_cast<uint32_t>(x) & 0x7fffffff) >= 0x7f800000;
  if (!any) return Status();
  const auto bad =
      std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
  return Error(
      Code::kInternal,
      "the model gave non-finite logits ({} for token {} at position {}): its weights hold "
      "NaN or infinite values, or overflow; the file may be damaged",
      *bad, bad - logits.begin(), position);
}

}  // namespace

Executor::Executor(const EngineOptions& options) : options_(options), thread_([this] { Work(); }) {}

Executor::~Executor() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

ModelQueue* Executor::AddModel(model::Instance& instance, std::unique_ptr<ModelDraft> draft) {
  auto queue = std::make_unique<ModelQueue>(instance, std::move(draft), options_);
  queue->stats.pages_total = queue->cache.total();
  const std::lock_guard lock(mutex_);
  queues_.push_back(std::move(queue));
  return queues_.back().get();
}

void Executor::RemoveModel(ModelQueue* queue) {
  std::unique_lock lock(mutex_);
  queue->leaving = true;
  wake_.notify_all();
  removed_.wait(lock, [&] {
    return std::none_of(queues_.begin(), queues_.end(),
                        [&](const auto& q) { return q.get() == queue; });
  });
}

Result<RequestId> Executor::Submit(ModelQueue* queue, std::unique_ptr<Job> job, AdapterId adapter,
                                   Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (queue->leaving || stop_) return Error(Code::kUnavailable, "the engine is shutting down");
    if (!queue->lost.ok()) return queue->lost;
    if (queue->n_queued >= options_.max_queued) {
      return Error(Code::kExhausted, "the queue is full ({} requests wait); try again later",
                   queue->n_queued);
    }
    MNW_ASSIGN(job->adapter, queue->adapters.Use(adapter));
    job->id = next_id_++;
    job->submitted = Clock::now();
    job->deadline = deadline;
    const RequestId id = job->id;
    queue->arrived.push_back(std::move(job));
    ++queue->n_queued;
    wake_.notify_all();
    return id;
  }
}

void Executor::Cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  for (const auto& queue : queues_) queue->cancelled.push_back(id);
  wake_.notify_all();
}

void Executor::Call(const std::function<void()>& task) {
  std::unique_lock lock(mutex_);
  tasks_.push_back(&task);
  wake_.notify_all();
  called_.wait(lock,
               [&] { return std::find(tasks_.begin(), tasks_.end(), &task) == tasks_.end(); });
}

Result<RequestId> Executor::Register(ModelQueue* queue, AdapterId adapter, AdapterUse* use) {
  const std::lock_guard lock(mutex_);
  if (queue->leaving || stop_) return Error(Code::kUnavailable, "the engine is shutting down");
  if (!queue->lost.ok()) return queue->lost;
  MNW_ASSIGN(*use, queue->adapters.Use(adapter));
  return next_id_++;
}

// The backend packs what it is given, 25 MiB of a 1B model's: where somebody waits it goes by
// parts, with a step between any two.
Result<AdapterId> Executor::LoadAdapter(ModelQueue* queue, const model::Adapter& adapter) {
  Result<AdapterSlot*> slot = nullptr;
  Call([&] {
    FreeAdapters(*queue);  // the place may be that of one which goes
    const std::lock_guard lock(mutex_);
    slot = queue->adapters.FindFree();
    if (!slot.ok()) return;
    (*slot)->state = AdapterSlot::kFilling;
    (*slot)->bytes = 0;
  });
  MNW_TRY(slot.status());
  Status status;
  std::span<const model::AdapterDelta> left = adapter.deltas;
  const auto fill = [&] {
    const Clock::time_point now = Clock::now();
    const bool is_waited_for = options_.step_seconds > 0 && last_interactive_ + kLately > now;
    const Clock::time_point until = is_waited_for ? now + kAdapterSlice : Clock::time_point::max();
    const uint64_t before = queue->instance.adapter_bytes();
    do {
      const size_t n = std::min<size_t>(left.size(), 1);
      status = queue->instance.SetAdapter((*slot)->index, left.first(n));
      left = left.subspan(n);
    } while (status.ok() && !left.empty() && Clock::now() < until);
    const std::lock_guard lock(mutex_);
    (*slot)->bytes += queue->instance.adapter_bytes() - before;
    if (status.ok() && !left.empty()) return;
    (*slot)->state = status.ok() ? AdapterSlot::kReady : AdapterSlot::kFree;
    if (status.ok()) (*slot)->id = next_adapter_++;
    Publish(*queue);
  };
  do {
    Call(fill);
  } while (status.ok() && !left.empty());
  MNW_TRY(std::move(status));
  return (*slot)->id;
}

Status Executor::UnloadAdapter(ModelQueue* queue, AdapterId id) {
  {
    const std::lock_guard lock(mutex_);
    MNW_ASSIGN(AdapterSlot * slot, queue->adapters.Find(id));
    slot->state = AdapterSlot::kLeaving;
  }
  Call([&] { FreeAdapters(*queue); });
  return Status();
}

void Executor::UnloadAdapterSoon(ModelQueue* queue, AdapterId id) {
  const std::lock_guard lock(mutex_);
  const auto slot = queue->adapters.Find(id);
  if (!slot.ok()) return;
  (*slot)->state = AdapterSlot::kLeaving;
  wake_.notify_all();
}

AdapterStats Executor::adapter_stats(const ModelQueue* queue, AdapterId id) const {
  const std::lock_guard lock(mutex_);
  const auto slot = const_cast<ModelQueue*>(queue)->adapters.Find(id);
  if (!slot.ok()) return {};
  const uint32_t uses = (*slot)->uses.load(std::memory_order_relaxed);
  const uint32_t holds = (*slot)->holds.load(std::memory_order_relaxed);
  return {(*slot)->bytes, uses - std::min(uses, holds), holds};
}

// Empties the slots whose adapter was unloaded and is no longer used; what is pinned is no use.
void Executor::FreeAdapters(ModelQueue& queue) {
  std::unique_lock lock(mutex_);
  const std::vector<RequestId> lost = LostHolds(queue);
  lock.unlock();
  for (const RequestId id : lost) DropHold(queue, id);
  lock.lock();
  while (AdapterSlot* slot = queue.adapters.Unused()) {
    lock.unlock();
    queue.cache.DropAdapter(slot->id);
    const Status status = queue.instance.ClearAdapter(slot->index);
    if (!status.ok()) LogWarning("an adapter was not freed: {}", status.message());
    lock.lock();
    slot->state = AdapterSlot::kFree;
    Publish(queue);
  }
}

EngineStats Executor::stats(const ModelQueue* queue) const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = queue->stats;
  stats.queued = queue->n_queued;
  return stats;
}

bool Executor::CanEverFit(const ModelQueue* queue, uint32_t length, uint32_t branches) const {
  return queue->cache.CanEverFit(length, branches);
}

void Executor::Work() {
  std::unique_lock lock(mutex_);
  bool called = false;  // since the last step
  for (;;) {
    bool has_work = false;
    wake_.wait(lock, [&] {
      has_work =
          std::any_of(queues_.begin(), queues_.end(), [](const auto& q) { return q->HasWork(); });
      return stop_ || !tasks_.empty() || has_work;
    });
    if (stop_) return;
    // However many callers there are, a step waits for one of them only.
    if (!tasks_.empty() && !(called && has_work)) {
      called = true;
      const std::function<void()>& task = *tasks_.front();
      lock.unlock();
      task();
      lock.lock();
      tasks_.pop_front();
      called_.notify_all();
      continue;
    }
    called = false;
    ModelQueue& queue = NextQueue();
    const std::vector<RequestId> cancelled = TakeArrivals(queue);
    const bool leaving = queue.leaving;
    lock.unlock();
    if (leaving) {
      EndAll(queue, Error(Code::kUnavailable, "the engine is shutting down"));
    } else {
      EndCancelled(queue, cancelled);
      EndExpired(queue);
      Admit(queue);
      if (!queue.running.empty()) {
        lock.lock();
        Publish(queue);  // what runs in this step no longer waits
        lock.unlock();
        RunStep(queue);
      }
    }
    FreeAdapters(queue);
    lock.lock();
    Publish(queue);
    if (leaving) {
      std::erase_if(queues_, [&](const auto& q) { return q.get() == &queue; });
      removed_.notify_all();
    }
  }
}

// Under the mutex.
ModelQueue& Executor::NextQueue() {
  std::vector<Turn*> turns;
  for (const auto& q : queues_) {
    q->turn.has_work = q->HasWork();
    turns.push_back(&q->turn);
  }
  return *queues_[NextTurn(turns)];
}

void Executor::Charge(ModelQueue& queue, double seconds) {
  queue.turn.Charge(seconds, queue.step.has[0]);
  const bool waits = std::any_of(queue.running.begin(), queue.running.end(),
                                 [](const auto& job) { return job->priority == Priority::kBatch; });
  queue.steps_without_batch = queue.step.has[1] || !waits ? 0 : queue.steps_without_batch + 1;
}

StepLimits Executor::Limits(const ModelQueue& queue, Clock::time_point begin) {
  const uint32_t most = queue.instance.options().max_tokens;
  StepSituation now{};
  now.whole = queue.instance.is_encoder();
  now.step_tokens = now.whole ? most : std::min(options_.step_tokens, most);
  now.budget_seconds = options_.step_seconds;
  for (const auto& job : queue.running) {
    if (job->priority == Priority::kBatch) {
      now.steps_without_batch = queue.steps_without_batch;
      continue;
    }
    ++(job->pending() == 1 && !now.whole ? now.decoding : now.prefilling);
    last_interactive_ = begin;
  }
  now.interactive_lately = last_interactive_ + kLately > begin;
  return LimitsFor(now, queue.cost);
}

// Under the mutex: hands over what came in since the last step.
std::vector<RequestId> Executor::TakeArrivals(ModelQueue& queue) {
  while (!queue.arrived.empty()) {
    const size_t priority = queue.arrived.front()->priority == Priority::kBatch;
    if (priority == 0) last_interactive_ = Clock::now();
    queue.waiting[priority].push_back(std::move(queue.arrived.front()));
    queue.arrived.pop_front();
  }
  return std::exchange(queue.cancelled, {});
}

void Executor::Publish(ModelQueue& queue) {
  queue.n_queued = static_cast<uint32_t>(queue.arrived.size() + queue.waiting[0].size() +
                                         queue.waiting[1].size());
  queue.stats.steps = queue.steps;
  queue.stats.rows = queue.rows;
  queue.stats.running = static_cast<uint32_t>(queue.running.size());
  queue.stats.pages_used = queue.cache.used();
  queue.stats.pages_kept = queue.cache.kept();
  queue.stats.prompt_tokens = queue.prompt_tokens;
  queue.stats.cached_tokens = queue.cached_tokens;
  queue.stats.preemptions = queue.preemptions;
  queue.stats.holds = static_cast<uint32_t>(queue.held.size());
  queue.stats.adapters = queue.adapters.loaded();
  queue.stats.adapter_bytes = queue.instance.adapter_bytes();
}

void Executor::EndCancelled(ModelQueue& queue, std::span<const RequestId> ids) {
  const Status status(Code::kCancelled, "cancelled");
  for (const RequestId id : ids) {
    if (DropHold(queue, id)) continue;
    for (size_t i = 0; i < queue.running.size(); ++i) {
      if (queue.running[i]->id == id) {
        EndJob(queue, i, status);
        break;
      }
    }
    for (auto& waiting : queue.waiting) {
      const auto it =
          std::find_if(waiting.begin(), waiting.end(), [&](const auto& j) { return j->id == id; });
      if (it == waiting.end()) continue;
      (*it)->End(status);
      waiting.erase(it);
    }
  }
}

void Executor::EndExpired(ModelQueue& queue) {
  const Clock::time_point now = Clock::now();
  const Status status(Code::kDeadline, "the deadline passed");
  for (size_t i = queue.running.size(); i-- > 0;) {
    if (queue.running[i]->deadline <= now) EndJob(queue, i, status);
  }
  for (auto& waiting : queue.waiting) {
    std::erase_if(waiting, [&](const auto& job) {
      if (job->deadline > now) return false;
      job->End(status);
      return true;
    });
  }
}

void Executor::RunStep(ModelQueue& queue) {
  const Clock::time_point begin = Clock::now();
  MakeRoom(queue);
  BuildStep(queue.running, queue.instance, Limits(queue, begin), queue.cache,
            queue.instance.can_speculate() ? &queue.speculation : nullptr, queue.draft.get(),
            &queue.step);
  const double drafting = queue.draft ? queue.draft->TakeSeconds() : 0;
  if (!queue.step.edits.empty()) {
    const Status status = queue.instance.EditPages(queue.step.edits);
    if (status.code() == Code::kDeviceLost) return LoseDevice(queue, status);
    if (!status.ok()) return FailRunning(queue, status);
  }
  if (queue.step.empty()) {
    if (queue.running.size() > 1 || !DropOldestHold(queue)) PreemptLast(queue);
    return;
  }
  ++queue.steps;
  queue.rows += queue.step.inputs.tokens.size();
  const auto run = [&]() -> Result<std::span<const float>> {
    MNW_TRY(queue.instance.Start(queue.step.inputs));
    return queue.instance.Wait();
  };
  const Result<std::span<const float>> output = run();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Charge(queue, seconds());
  if (output.ok()) {
    const auto rows = static_cast<uint32_t>(queue.step.inputs.tokens.size());
    Deliver(queue, *output);
    queue.cost.Observe(rows, seconds() - drafting);
    return;
  }
  if (output.status().code() == Code::kDeviceLost) return LoseDevice(queue, output.status());
  // The step's rows are lost, and with them the requests that had rows in it; the others go on.
  LogWarning("a step failed: {}", output.status().message());
  for (const StepPart& part : queue.step.parts) {
    const auto it = std::find_if(queue.running.begin(), queue.running.end(),
                                 [&](const auto& j) { return j.get() == part.job; });
    EndJob(queue, static_cast<size_t>(it - queue.running.begin()), output.status());
  }
}

// Pages may be anything after a failed copy.
void Executor::FailRunning(ModelQueue& queue, const Status& status) {
  LogWarning("pages could not be copied: {}", status.message());
  while (!queue.running.empty()) EndJob(queue, 0, status);
}

// With the device all state is gone, so nothing of the model can go on, now or later.
void Executor::LoseDevice(ModelQueue& queue, const Status& why) {
  LogError("a device was lost: {}", why.message());
  {
    const std::lock_guard lock(mutex_);
    queue.lost =
        Error(Code::kDeviceLost, "refused since a device was lost ({}); restart", why.message());
    TakeArrivals(queue);
  }
  EndAll(queue, why);
  queue.cache.DropPrefixes();
}

void Executor::Deliver(ModelQueue& queue, std::span<const float> output) {
  const size_t width = queue.instance.output_width();
  std::vector<Status> failed(queue.step.parts.size());
  // Before the logits, so that a job sees its rows as committed when it looks at them.
  for (const StepPart& part : queue.step.parts) {
    part.job->committed = part.first_token + part.n_tokens;
    Share(queue, *part.job, part.first_token);
  }
  for (size_t i = 0; i < queue.step.out.size(); ++i) {
    const OutRow& row = queue.step.out[i];
    const StepPart& part = queue.step.parts[row.part];
    Job& job = *part.job;
    // Nobody may see what became of a wrong guess.
    const bool drafted = part.n_drafts > 0;
    if (drafted && row.node >= 0 && (job.finished() || !job.drafts->IsNext(row.node))) continue;
    const std::span<const float> values = output.subspan(i * width, width);
    Status& status = failed[row.part];
    if (status.ok()) status = CheckFinite(values, row.position);
    if (!status.ok()) continue;
    const size_t before = job.tokens.size();
    status = row.node >= 0 && !drafted ? job.OnTreeLogits(row.node, values)
                                       : job.OnLogits(row.position, values);
    if (!drafted || !status.ok() || job.finished()) continue;
    for (size_t k = before; k < job.tokens.size(); ++k) {  // one, and those that it forces
      queue.speculation.Drew(*job.drafts, job.tokens[k]);
    }
  }
  CommitDrafts(queue, failed);
  for (size_t i = 0; queue.instance.is_encoder() && i < queue.step.parts.size(); ++i) {
    failed[i] = queue.step.parts[i].job->OnEmbedding(output.subspan(i * width, width));
  }
  for (size_t i = 0; i < queue.step.parts.size(); ++i) {
    Job* job = queue.step.parts[i].job;
    queue.cache.Trim(&job->pages, job->committed);
    if (failed[i].ok() && !job->finished()) continue;
    const auto it = std::find_if(queue.running.begin(), queue.running.end(),
                                 [&](const auto& j) { return j.get() == job; });
    EndJob(queue, static_cast<size_t>(it - queue.running.begin()), std::move(failed[i]));
  }
}

// The rows of the guesses that were right become those of the tokens that were drawn, as far as
// there are pages; what is left is computed like any other token.
void Executor::CommitDrafts(ModelQueue& queue, std::span<Status> failed) {
  struct Kept {
    Job& job;
    size_t part, n;
  };
  std::vector<Kept> kept;
  for (size_t p = 0; p < queue.step.parts.size(); ++p) {
    if (queue.step.parts[p].n_drafts == 0 || !failed[p].ok()) continue;
    Job& job = *queue.step.parts[p].job;
    const size_t n = job.drafts->accepted().size();
    job.usage.accepted_tokens += static_cast<uint32_t>(n);
    kept.push_back({job, p, queue.cache.Extend(&job.pages, job.committed, n)});
  }
  std::vector<int32_t> rows, slots;
  Status status;
  for (uint32_t g = 0; g < queue.instance.n_groups() && status.ok(); ++g) {
    rows.clear();
    slots.clear();
    for (const Kept& k : kept) {
      const auto first = static_cast<int32_t>(queue.step.parts[k.part].first_draft);
      for (size_t i = 0; i < k.n; ++i) {
        rows.push_back(first + k.job.drafts->accepted()[i]);
        slots.push_back(queue.cache.Slot(k.job.pages, g, k.job.committed + i));
      }
    }
    if (!rows.empty()) status = queue.instance.Commit(g, rows, slots);
  }
  for (const Kept& k : kept) {
    if (k.n == 0) continue;
    if (!status.ok()) {
      failed[k.part] = status;
      continue;
    }
    const size_t before = k.job.committed;
    k.job.committed += k.n;
    Share(queue, k.job, before);
  }
}

// Makes what a job has computed known to those that begin alike, page by page and when its prompt
// is done.
void Executor::Share(ModelQueue& queue, Job& job, size_t before) {
  const bool has_prompt = job.committed >= job.usage.prompt_tokens;
  if (before / model::kPageTokens != job.committed / model::kPageTokens ||
      (has_prompt && before < job.usage.prompt_tokens)) {
    queue.cache.Insert(job.adapter_id(), std::span(job.tokens).first(job.committed), &job.pages);
  }
}

void Executor::EndJob(ModelQueue& queue, size_t index, Status status) {
  const std::unique_ptr<Job> job = std::move(queue.running[index]);
  queue.running.erase(queue.running.begin() + static_cast<ptrdiff_t>(index));
  queue.prompt_tokens += job->usage.prompt_tokens;
  queue.cached_tokens += job->usage.cached_tokens;
  const bool is_sound =
      status.ok() || status.code() == Code::kCancelled || status.code() == Code::kDeadline;
  if (is_sound) {
    queue.cache.Insert(job->adapter_id(), std::span(job->tokens).first(job->committed),
                       &job->pages);
  }
  if (status.ok() && job->holds()) status = MayHold(queue, job->tokens.size());
  if (status.ok() && job->holds()) {
    Hold(queue, job->id, {job->tokens, std::exchange(job->pages, {}), std::move(job->adapter)});
  } else {
    queue.cache.Release(&job->pages);
  }
  job->End(std::move(status));
}

void Executor::EndAll(ModelQueue& queue, const Status& status) {
  while (!queue.running.empty()) EndJob(queue, 0, status);
  for (auto& waiting : queue.waiting) {
    for (auto& job : waiting) job->End(status);
    waiting.clear();
  }
  DropHolds(queue);
}

}  // namespace minnow::engine
