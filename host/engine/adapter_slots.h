// Which adapter lies in which slot of a model's pool, and how many requests use it.
//
// A request holds an AdapterUse from its submission to its end, so an adapter that is unloaded
// stays in its slot until the last one is gone. So does a pinned prefix (holds.h), but it goes with
// the adapter. Threads: under the executor's mutex, but for giving back a use and for counting
// holds, which any thread may.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>

#include "base/status.h"
#include "engine/request.h"

namespace minnow::engine {

struct AdapterSlot {
  explicit AdapterSlot(uint32_t i) : index(i) {}

  enum State { kFree, kFilling, kReady, kLeaving };
  const uint32_t index;
  State state = kFree;
  AdapterId id = 0;
  uint64_t bytes = 0;
  std::atomic<uint32_t> uses = 0;
  std::atomic<uint32_t> holds = 0;  // of the uses, those of pinned prefixes
};

struct GiveBackAdapter {
  void operator()(AdapterSlot* slot) const { slot->uses.fetch_sub(1, std::memory_order_release); }
};
using AdapterUse = std::unique_ptr<AdapterSlot, GiveBackAdapter>;

class AdapterSlots {
 public:
  explicit AdapterSlots(uint32_t n) {
    for (uint32_t i = 0; i < n; ++i) slots_.emplace_back(i);
  }

  Result<AdapterSlot*> FindFree() {
    for (AdapterSlot& slot : slots_) {
      if (slot.state == AdapterSlot::kFree) return &slot;
    }
    return Error(Code::kUnavailable,
                 "all {} places for adapters are taken; unload one, or make more with "
                 "--adapter-slots",
                 slots_.size());
  }

  Result<AdapterSlot*> Find(AdapterId id) {
    for (AdapterSlot& slot : slots_) {
      if (slot.state == AdapterSlot::kReady && slot.id == id) return &slot;
    }
    return Error(Code::kNotFound, "adapter {} is not loaded", id);
  }

  // Null for adapter 0, the base.
  Result<AdapterUse> Use(AdapterId id) {
    if (id == 0) return AdapterUse();
    MNW_ASSIGN(AdapterSlot * slot, Find(id));
    slot->uses.fetch_add(1, std::memory_order_relaxed);
    return AdapterUse(slot);
  }

  // Is a prefix pinned through an adapter that was unloaded?
  bool HasLostHolds() const {
    return std::ranges::any_of(slots_, [](const AdapterSlot& slot) {
      return slot.state == AdapterSlot::kLeaving && slot.holds.load(std::memory_order_relaxed) > 0;
    });
  }

  // A slot whose adapter was unloaded and is no longer used; null if there is none.
  AdapterSlot* Unused() {
    for (AdapterSlot& slot : slots_) {
      if (slot.state == AdapterSlot::kLeaving && slot.uses.load(std::memory_order_acquire) == 0) {
        return &slot;
      }
    }
    return nullptr;
  }

  uint32_t loaded() const {
    uint32_t n = 0;
    for (const AdapterSlot& slot : slots_) n += slot.state != AdapterSlot::kFree;
    return n;
  }

 private:
  std::deque<AdapterSlot> slots_;  // which stay where they are
};

}  // namespace minnow::engine
