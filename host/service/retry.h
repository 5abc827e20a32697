// How long one who is refused should wait: what is under way, over the rate at which such things
// have ended lately.
//
// That is when the last of them may be expected to be done. Nothing ended yet: a second. The rate
// is a mean with a memory of ten seconds. Time is given by the caller. Threads: any.
#pragma once

#include <algorithm>
#include <cmath>
#include <mutex>

#include "engine/request.h"

namespace minnow::service {

class CompletionRate {
 public:
  static constexpr double kShortest = 0.05, kLongest = 30;  // seconds

  // One has ended: an answer, a failure of its own, a cancellation. Refusals do not count.
  void Ended(engine::Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    if (count_ == 0) first_ = last_ = now;
    count_ = count_ * Decay(now) + 1;
    last_ = std::max(last_, now);
  }

  double SecondsFor(double n_before, engine::Clock::time_point now) const {
    const std::lock_guard lock(mutex_);
    if (count_ == 0) return 1;
    // Of what ended in the memory's time, or since the first: that is a while, not a moment.
    const double age = Seconds(now - first_);
    const double seen = std::max(kMemory * (1 - std::exp(-age / kMemory)), kShortest);
    const double per_second = count_ * Decay(now) / seen;
    return std::clamp(n_before / per_second, kShortest, kLongest);  // infinity is the longest
  }

 private:
  static constexpr double kMemory = 10;
  static double Seconds(engine::Clock::duration d) {
    return std::chrono::duration<double>(d).count();
  }
  double Decay(engine::Clock::time_point now) const {
    return std::exp(-std::max(0.0, Seconds(now - last_)) / kMemory);
  }

  mutable std::mutex mutex_;  // guards all below
  double count_ = 0;          // of those that ended, each worth less with time
  engine::Clock::time_point first_{}, last_{};
};

}  // namespace minnow::service
