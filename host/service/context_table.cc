#include "service/context_table.h"

#include <algorithm>
#include <random>
#include <utility>

namespace minnow::service {

namespace {

std::string NewId() {
  std::random_device random;  // the kernel's
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

}  // namespace

void ContextTable::DropExpired(Clock::time_point now) {
  std::erase_if(entries_, [&](const auto& entry) {
    const bool is_over = entry.second.expires <= now;
    if (is_over) n_bytes_ -= entry.second.context.document->size();
    return is_over;
  });
}

Failure ContextTable::Add(Context context, std::chrono::seconds ttl, Clock::time_point now,
                          std::string* id) {
  const size_t size = context.document->size();
  const std::lock_guard lock(mutex_);
  DropExpired(now);
  if (entries_.size() < kMaxContexts && size <= kMaxBytes - n_bytes_) {
    *id = NewId();
    n_bytes_ += size;
    entries_.emplace(*id, Entry{std::move(context), ttl, now + ttl});
    return {};
  }
  const auto first = std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second.expires < b.second.expires; });
  Failure failure(
      Error(Code::kExhausted, "{} contexts of {} bytes are kept, and no more can be: delete some",
            entries_.size(), n_bytes_),
      "TOO_MANY_CONTEXTS");
  if (first != entries_.end()) {
    failure.retry_seconds = std::chrono::duration<double>(first->second.expires - now).count();
  }
  return failure;
}

bool ContextTable::Find(const std::string& id, Clock::time_point now, Context* context) {
  const std::lock_guard lock(mutex_);
  DropExpired(now);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  found->second.expires = now + found->second.ttl;
  *context = found->second.context;
  return true;
}

bool ContextTable::Remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(id);
  if (found == entries_.end()) return false;
  n_bytes_ -= found->second.context.document->size();
  entries_.erase(found);
  return true;
}

}  // namespace minnow::service
