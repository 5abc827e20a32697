#include "engine/holds.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace minnow::engine {

Status MayHold(const ModelQueue& queue, size_t n_tokens) {
  const auto columns = [](size_t n) { return (n + model::kPageTokens - 1) / model::kPageTokens; };
  size_t held = 0, half = SIZE_MAX;
  for (const auto& [id, prefix] : queue.held) held += columns(prefix.tokens.size());
  for (uint32_t g = 0; g < queue.instance.n_groups(); ++g) {
    half = std::min<size_t>(half, queue.instance.n_pages(g) / 2);
  }
  if (held + columns(n_tokens) <= half) return Status();
  return Error(Code::kExhausted,
               "{} tokens cannot be pinned: {} others take {} tokens of the {} that there are for "
               "it, half the cache; unpin some or raise --kv-tokens",
               n_tokens, queue.held.size(), held * model::kPageTokens, half * model::kPageTokens);
}

void Hold(ModelQueue& queue, RequestId id, HeldPrefix prefix) {
  if (prefix.adapter) prefix.adapter->holds.fetch_add(1, std::memory_order_relaxed);
  queue.held[id] = std::move(prefix);
}

bool DropHold(ModelQueue& queue, RequestId id) {
  const auto held = queue.held.find(id);
  if (held == queue.held.end()) return false;
  queue.cache.Release(&held->second.pages);
  const AdapterUse& adapter = held->second.adapter;
  if (adapter) adapter->holds.fetch_sub(1, std::memory_order_relaxed);
  queue.held.erase(held);
  return true;
}

bool DropOldestHold(ModelQueue& queue) {
  if (queue.held.empty()) return false;
  const auto& [id, prefix] = *queue.held.begin();
  LogWarning("a pinned context of {} tokens gave way to a request that had no room without it",
             prefix.tokens.size());
  return DropHold(queue, id);
}

std::vector<RequestId> LostHolds(const ModelQueue& queue) {
  std::vector<RequestId> lost;
  for (const auto& [id, prefix] : queue.held) {
    if (prefix.adapter && prefix.adapter->state == AdapterSlot::kLeaving) lost.push_back(id);
  }
  return lost;
}

void DropHolds(ModelQueue& queue) {
  while (!queue.held.empty()) DropHold(queue, queue.held.begin()->first);
}

}  // namespace minnow::engine
