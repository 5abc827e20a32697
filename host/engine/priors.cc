#include "engine/priors.h"

#include <tuple>
#include <utility>

namespace minnow::engine {

bool PriorTable::Key::operator<(const Key& other) const {
  return std::tie(adapter, prompt, labels) < std::tie(other.adapter, other.prompt, other.labels);
}

bool PriorTable::Get(const Key& key, OnReady on_ready) {
  std::vector<LabelScore> labels;
  {
    const std::lock_guard lock(mutex_);
    const auto [it, fresh] = entries_.try_emplace(key);
    Entry& entry = it->second;
    if (!entry.known) {
      entry.waiting.push_back(std::move(on_ready));
      return fresh;
    }
    order_.splice(order_.begin(), order_, entry.place);
    labels = entry.labels;
  }
  on_ready({}, labels);
  return false;
}

void PriorTable::Set(const Key& key, const Status& status, std::vector<LabelScore> labels) {
  std::vector<OnReady> waiting;
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    Entry& entry = found->second;
    waiting = std::move(entry.waiting);
    if (status.ok()) {
      entry.known = true;
      entry.labels = labels;
      entry.waiting.clear();
      order_.push_front(&found->first);
      entry.place = order_.begin();
      bytes_ += BytesOf(key);
      Shrink();
    } else {
      entries_.erase(found);
    }
  }
  for (const OnReady& on_ready : waiting) on_ready(status, labels);
}

size_t PriorTable::BytesOf(const Key& key) {
  size_t bytes = 256 + key.prompt.size() * sizeof(TokenId);
  for (const std::string& label : key.labels) bytes += 128 + 2 * label.size();
  return bytes;
}

void PriorTable::Shrink() {
  while (bytes_ > kMostBytes && order_.size() > 1) {
    const Key* const last = order_.back();
    bytes_ -= BytesOf(*last);
    order_.pop_back();
    entries_.erase(entries_.find(*last));
  }
}

size_t PriorTable::size() const {
  const std::lock_guard lock(mutex_);
  return order_.size();
}

}  // namespace minnow::engine
