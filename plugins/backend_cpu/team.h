// The threads of one context. Run() gives every thread the same function; inside it the threads
// meet at Barrier(). Work is divided statically by thread index, so nothing depends on timing.
//
// A waiting thread spins for a short while (a barrier between two kernels is far shorter than a
// wake-up) and then parks, so that an idle or oversubscribed machine is not kept busy. Threads: Run
// by one caller at a time; the caller works as thread 0.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace minnow::cpu {

class Team {
 public:
  // Throws std::bad_alloc or std::system_error if the threads cannot be had.
  explicit Team(int n_threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return n_; }

  // Calls body(thread index) on every thread; returns when all have returned.
  template <class Body>
  void Run(Body&& body) {
    RunErased([](void* b, int ith) { (*static_cast<Body*>(b))(ith); }, &body);
  }

  // Only inside Run: every thread waits until all have come.
  void Barrier();

 private:
  using BodyFn = void (*)(void* body, int ith);
  void RunErased(BodyFn fn, void* body);
  void Work(int ith);
  void Stop();
  // Waits until `word` differs from `old`.
  void WaitWhile(const std::atomic<uint32_t>& word, uint32_t old) const;

  const int n_;
  BodyFn fn_ = nullptr;
  void* body_ = nullptr;
  bool stop_ = false;
  // Each on its own cache line: they are written by different threads.
  alignas(64) std::atomic<uint32_t> job_{0};      // counts Runs
  alignas(64) std::atomic<uint32_t> arrived_{0};  // threads at the barrier
  alignas(64) std::atomic<uint32_t> phase_{0};    // counts passed barriers
  std::vector<std::thread> threads_;
};

}  // namespace minnow::cpu
