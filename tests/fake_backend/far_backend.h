// Puts any backend far away, as a GPU is: run() returns at once and completes after a random delay
// on another thread, and the device has memory of its own, at addresses that the host cannot
// follow. Over the fake backend it drives the engine's tests, over the CPU's real models, which
// must give the same bits.
//
// It can lose its device at a run, call `done` twice, or run out of memory at any call that takes
// some. What the host does against the contract is recorded, and fails the step it happened in.
// Threads: every function any.
#pragma once

#include <minnow/abi/backend.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace minnow::test {

struct FarOptions {
  bool own_memory = true;
  std::chrono::microseconds max_delay{0};  // of a run; half of them are not delayed
  uint32_t seed = 0;                       // of the delays
  uint32_t lose_at_run = 0;                // counted from 1; 0: never
  uint32_t done_twice_at_run = 0;          // against the contract
  int refused_op = -1;                     // an mnw_op it does not claim

  // As ctest asks for it in MINNOW_TEST_DEVICE: "late" (the host's memory), "far", or nothing.
  static std::optional<FarOptions> FromEnvironment();
};

class FarBackend {
 public:
  struct Impl;  // opaque

  // `inner` outlives this. Devices are opened from the object made last.
  FarBackend(const mnw_backend& inner, const FarOptions& options);
  ~FarBackend();  // REQUIRES: nothing open, no step in flight

  const mnw_backend* table() const;

  // The n-th call from now (from 1) that takes memory fails with MNW_OUT_OF_MEMORY; 0: none.
  void FailAllocation(uint32_t n);
  uint32_t buffers() const;  // alive
  uint32_t runs() const;     // taken so far
  bool lost() const;
  std::vector<std::string> violations() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace minnow::test
