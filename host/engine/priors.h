// What the labels of a question score about no document (contextual calibration): computed by the
// first request that wants to know, and kept for those that come later, while there is room.
//
// Threads: any. Callbacks run on the thread that calls Get or Set, outside the lock.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/classify.h"

namespace minnow::engine {

class PriorTable {
 public:
  struct Key {
    AdapterId adapter;
    std::vector<TokenId> prompt;
    std::vector<std::string> labels;
    bool operator<(const Key& other) const;
  };
  using OnReady = std::function<void(const Status& status, const std::vector<LabelScore>& labels)>;

  // Calls `on_ready` as soon as it is known. True: nobody has asked before, so the caller has to
  // find out, and to call Set.
  bool Get(const Key& key, OnReady on_ready);
  // A failure is told to those who wait, and forgotten.
  void Set(const Key& key, const Status& status, std::vector<LabelScore> labels);

  size_t size() const;
  static constexpr size_t kMostBytes = 8 << 20;

 private:
  struct Entry {
    bool known = false;
    std::vector<LabelScore> labels;
    std::vector<OnReady> waiting;
    std::list<const Key*>::iterator place;  // in order_, if known
  };
  static size_t BytesOf(const Key& key);
  void Shrink();

  mutable std::mutex mutex_;  // guards all below
  std::map<Key, Entry> entries_;
  std::list<const Key*> order_;  // of those that are known, the one used last first
  size_t bytes_ = 0;             // of those
};

}  // namespace minnow::engine
