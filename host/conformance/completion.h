// Who waits for mnw_done_fn: counts its calls, and keeps the outputs as they were at the first.
// Threads: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "conformance/guarded.h"
#include "conformance/sketch.h"
#include "plugins/device.h"

namespace minnow::conformance {

// Lives as long as the program, for calls that come too late.
class Completion {
 public:
  // What is to be kept at the moment of `done`.
  void Begin(std::vector<const Guarded*> outputs) {
    const std::lock_guard lock(mutex_);
    count_ = 0;
    outputs_ = std::move(outputs);
    // Done may be called while allocations are made to fail: there must be none of ours.
    kept_.clear();
    for (const Guarded* g : outputs_) kept_.emplace_back(g->bytes().size());
  }
  static void Done(void* self, int code, const mnw_error* error) {
    static_cast<Completion*>(self)->Set(code, error);
  }
  // False if nothing came in time.
  bool Wait() {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, kLimit, [this] { return count_ > 0; });
  }
  int count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  Status status() const {
    const std::lock_guard lock(mutex_);
    return code_ == MNW_OK ? Status() : plugins::FromPlugin("the step", code_, &error_);
  }
  std::vector<Bytes> kept() const {
    const std::lock_guard lock(mutex_);
    return kept_;
  }

 private:
  static constexpr std::chrono::seconds kLimit{5};

  void Set(int code, const mnw_error* error) {
    const std::lock_guard lock(mutex_);
    if (count_++ == 0) {
      code_ = code;
      error_ = error ? *error : mnw_error{};
      for (size_t i = 0; i < outputs_.size(); ++i) {
        std::copy_n(outputs_[i]->data(), kept_[i].size(), kept_[i].begin());
      }
    }
    wake_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  int count_ = 0, code_ = MNW_OK;
  mnw_error error_{};
  std::vector<const Guarded*> outputs_;
  std::vector<Bytes> kept_;
};

}  // namespace minnow::conformance
