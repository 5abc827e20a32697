// The event loop that scripts run on: libuv, plus a letter box that any thread may write to.
//
// Letters go to an address. Retiring an address drops every letter to it that has not been
// delivered, so a completion that comes after its document was cancelled harms nobody: addresses
// are never reused. Threads: Post and Stop from any thread, all else from the one that calls Run.
// The loop must outlive whoever posts to it, so models are closed before it.
#pragma once

#include <uv.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/status.h"

namespace minnow::script {

class Loop {
 public:
  using Address = uint64_t;
  using Function = std::function<void()>;

  static Result<std::unique_ptr<Loop>> Create();
  ~Loop();  // waits for Work that is under way; handles of others must be closed
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  Address NewAddress();
  void Retire(Address address) { live_.erase(address); }

  // Runs `function` on the loop's thread, after the present callback. Without an address: always.
  void Post(Address to, Function function);
  void Post(Function function) { Post(kLoop, std::move(function)); }

  using TimerId = uint64_t;  // never reused; 0 is none
  TimerId After(double seconds, Address to, Function function);
  void Cancel(TimerId id);  // no effect when it has gone off
  size_t n_timers() const { return timers_.size(); }

  // `work` on a thread of libuv's pool, then what it returned on the loop's.
  void Work(std::function<Function()> work, Address to);
  void WaitForWork();  // until no work is under way: what it uses may be closed after that

  void Run();  // until Stop
  void Stop();

  uv_loop_t* uv() { return &loop_; }

 private:
  struct Letter {
    Address to;
    Function function;
  };
  struct Timer;
  struct Job;
  static constexpr Address kLoop = 0;

  Loop() = default;
  void Deliver(const Letter& letter);
  void DeliverAll();

  bool open_ = false;
  uv_loop_t loop_;
  uv_async_t async_{};                          // async_.loop is null until it is open
  std::unordered_map<TimerId, Timer*> timers_;  // libuv's between start and close
  TimerId last_timer_ = 0;
  std::unordered_set<Address> live_{kLoop};
  Address next_address_ = kLoop + 1;

  std::mutex mutex_;
  std::vector<Letter> inbox_;  // guarded by mutex_
  size_t working_ = 0;         // guarded by mutex_
  std::condition_variable idle_;
};

}  // namespace minnow::script
