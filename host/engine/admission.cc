#include "engine/admission.h"

#include <algorithm>

namespace minnow::engine {

namespace {

// Is there room for it, if it and each that runs is to go on for at least a page?
bool HasRoom(ModelQueue& queue, const Job& job) {
  if (queue.running.empty()) return true;
  if (queue.running.size() >= queue.instance.options().max_seqs) return false;
  const auto soon = [](const Job& j) {
    return std::min<size_t>(j.tokens.size() + model::kPageTokens, j.max_length);
  };
  for (uint32_t g = 0; g < queue.cache.n_groups(); ++g) {
    uint64_t need = queue.cache.MissingForNew(job.adapter_id(), job.tokens, soon(job), g);
    for (const auto& r : queue.running) {
      need += queue.cache.Missing(r->pages, g, r->committed, soon(*r));
    }
    if (need > queue.cache.available(g)) return false;
  }
  return true;
}

// The order in which they keep their pages.
bool Before(const std::unique_ptr<Job>& a, const std::unique_ptr<Job>& b) {
  return a->priority != b->priority ? a->priority < b->priority : a->id < b->id;
}

// Room for a job that wants to begin. The last batch job there is gives way once, so that it comes
// to its end.
bool MakeWay(ModelQueue& queue, const Job& job) {
  while (!HasRoom(queue, job)) {
    const auto n_batch =
        std::count_if(queue.running.begin(), queue.running.end(),
                      [](const auto& r) { return r->priority == Priority::kBatch; });
    if (job.priority == Priority::kBatch || n_batch == 0) return false;
    const Job& last = **std::max_element(queue.running.begin(), queue.running.end(), Before);
    if (n_batch == 1 && last.was_preempted) return false;
    PreemptLast(queue);
  }
  return true;
}

}  // namespace

// The first that does not fit makes the others wait too, so that a long request is not starved by
// short ones.
void Admit(ModelQueue& queue) {
  for (auto& waiting : queue.waiting) {
    while (!waiting.empty()) {
      std::unique_ptr<Job> job = std::move(waiting.front());
      waiting.pop_front();
      if (!MakeWay(queue, *job) || !queue.cache.Begin(job->branches, &job->pages)) {
        waiting.push_front(std::move(job));
        return;
      }
      if (!job->was_preempted) job->started = Clock::now();
      queue.running.push_back(std::move(job));
    }
  }
}

void MakeRoom(ModelQueue& queue) {
  const auto short_of_pages = [&] {
    for (uint32_t g = 0; g < queue.cache.n_groups(); ++g) {
      uint64_t need = 0;
      for (const auto& job : queue.running) {
        need += queue.cache.Missing(job->pages, g, job->committed, job->committed + 1);
      }
      if (need > queue.cache.available(g)) return true;
    }
    return false;
  };
  while (queue.running.size() > 1 && short_of_pages()) PreemptLast(queue);
}

void PreemptLast(ModelQueue& queue) {
  const auto last = std::max_element(queue.running.begin(), queue.running.end(), Before);
  std::unique_ptr<Job> job = std::move(*last);
  queue.running.erase(last);
  queue.cache.Insert(job->adapter_id(), std::span(job->tokens).first(job->committed), &job->pages);
  queue.cache.Release(&job->pages);
  job->committed = 0;
  job->was_preempted = true;
  ++queue.preemptions;
  queue.waiting[job->priority == Priority::kBatch].push_front(std::move(job));
}

}  // namespace minnow::engine
