#include "engine/adapter_table.h"

#include <algorithm>
#include <cmath>

#include "base/cache_dir.h"
#include "engine/fingerprint.h"
#include "model/content_hash.h"

namespace minnow::engine {

AdapterHold AdapterTable::Find(const std::string& path, float scale) {
  if (!std::isfinite(scale)) return nullptr;  // which has no place in an order
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find({path, scale});
  if (it == entries_.end()) return nullptr;
  it->second.last_use = ++n_uses_;
  return it->second.adapter;
}

Result<AdapterHold> AdapterTable::Open(const std::string& path, float scale) {
  if (AdapterHold found = Find(path, scale)) return found;
  const std::lock_guard loading(loading_);
  if (AdapterHold found = Find(path, scale)) return found;  // somebody has opened it meanwhile
  if (!HasPlace()) {
    return Error(Code::kUnavailable,
                 "all {} places for adapters are in use; unload one, or make more with "
                 "--adapter-slots (a pinned context keeps that of its adapter)",
                 engine_.instance().options().adapter_slots);
  }
  // Nobody loses a place to a file that cannot be used.
  MNW_ASSIGN(const model::Adapter adapter,
             model::Adapter::Load(path, engine_.instance().adapter_target(), scale));
  const std::string base = engine_.identity(0);
  std::string identity;
  if (!base.empty()) {
    MNW_ASSIGN(const std::string hash, model::ContentHash(model::FilesOf(path), CacheDirectory()));
    identity = AdapterIdentity(base, hash, scale);
  }
  Result<AdapterId> id = engine_.LoadAdapter(adapter);
  // No place or no memory: either way it helps when another goes.
  const auto is_short = [&] {
    return id.status().code() == Code::kUnavailable || id.status().code() == Code::kExhausted;
  };
  while (!id.ok() && is_short() && GiveUpOne()) {
    id = engine_.LoadAdapter(adapter);
  }
  MNW_TRY(id.status());
  if (!identity.empty()) engine_.SetIdentity(*id, std::move(identity));
  uint32_t rank = 0;
  for (const model::AdapterDelta& delta : adapter.deltas) rank = std::max(rank, delta.rank);
  auto loaded = std::make_shared<const LoadedAdapter>(engine_, *id, path, rank);
  const std::lock_guard lock(mutex_);
  entries_[{path, scale}] = {loaded, ++n_uses_};
  return loaded;
}

// Without any place, what is opened is refused for that.
bool AdapterTable::HasPlace() {
  const std::lock_guard lock(mutex_);
  const uint32_t places = engine_.instance().options().adapter_slots;
  return places == 0 || entries_.size() < places || Idle() != entries_.end();
}

// New holds come out of the table only, so that one which nobody else has stays so.
AdapterTable::Entries::iterator AdapterTable::Idle() {
  auto idle = entries_.end();
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.adapter.use_count() > 1) continue;
    if (engine_.adapter_stats(it->second.adapter->id()).holds > 0) continue;
    if (idle == entries_.end() || it->second.last_use < idle->second.last_use) idle = it;
  }
  return idle;
}

bool AdapterTable::GiveUpOne() {
  const std::lock_guard lock(mutex_);
  const auto idle = Idle();
  if (idle == entries_.end()) return false;
  entries_.erase(idle);
  return true;
}

bool AdapterTable::Close(const std::string& path) {
  const std::lock_guard loading(loading_);
  std::vector<AdapterHold> closed;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(entries_, [&](auto& entry) {
      if (entry.first.first != path) return false;
      closed.push_back(std::move(entry.second.adapter));
      return true;
    });
  }
  for (const AdapterHold& adapter : closed) {
    if (adapter.use_count() == 1) (void)engine_.UnloadAdapter(adapter->id());  // waits
  }
  return !closed.empty();
}

std::vector<AdapterStatus> AdapterTable::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<AdapterStatus> list;
  for (const auto& [key, entry] : entries_) {
    const auto& [path, scale] = key;
    const AdapterStats stats = engine_.adapter_stats(entry.adapter->id());
    list.push_back({path, scale, entry.adapter->rank(), stats.bytes, stats.requests});
  }
  return list;
}

}  // namespace minnow::engine
