#include "team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace minnow::cpu {

namespace {

// About 20 µs: longer than the gap between two kernels of a step, far shorter than a time slice.
constexpr int kSpins = 4000;

inline void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

Team::Team(int n_threads) : n_(n_threads) {
  try {
    threads_.reserve(static_cast<size_t>(n_ - 1));
    for (int i = 1; i < n_; ++i) threads_.emplace_back([this, i] { Work(i); });
  } catch (...) {  // no memory, or no more threads: those that run must end first
    Stop();
    throw;
  }
}

Team::~Team() { Stop(); }

void Team::Stop() {
  stop_ = true;
  job_.fetch_add(1, std::memory_order_release);
  job_.notify_all();
  for (auto& t : threads_) t.join();
}

void Team::WaitWhile(const std::atomic<uint32_t>& word, uint32_t old) const {
  for (int i = 0; i < kSpins; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    Pause();
  }
  while (word.load(std::memory_order_acquire) == old) word.wait(old, std::memory_order_acquire);
}

void Team::Barrier() {
  if (n_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == static_cast<uint32_t>(n_)) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    phase_.notify_all();
  } else {
    WaitWhile(phase_, phase);
  }
}

void Team::RunErased(BodyFn fn, void* body) {
  fn_ = fn;
  body_ = body;
  if (n_ > 1) {
    job_.fetch_add(1, std::memory_order_release);
    job_.notify_all();
  }
  fn(body, 0);
  Barrier();
}

void Team::Work(int ith) {
  for (uint32_t seen = 0;; ++seen) {
    WaitWhile(job_, seen);
    if (stop_) return;
    fn_(body_, ith);
    Barrier();
  }
}

}  // namespace minnow::cpu
