// A backend for tests of what stands above the contract: asynchronous, strict, and without a model.
//
// It claims every node of any graph. run() returns at once; its own thread completes the step
// later, by itself or when the test says so. Instead of computing the network it keeps token ids in
// its pages (fake_state.h) and fills each row of the output from the tokens that the row stands on,
// so that an error in paging, parents, sharing or cancellation shows as a wrong token; an adapter
// counts as one more token before the first. Every breach
// of the contract is recorded in violations(), and fails the call or the step it happened in.
//
// One object at a time, since the table's open() cannot tell whose it is; any number of contexts.
// Threads: every function any.
#pragma once

#include <minnow/abi/backend.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace minnow::test {

// Fills the logits (or the vector) of a row with this context. A function of its arguments alone.
using FakeAnswer = std::function<void(std::span<const int32_t> context, std::span<float> out)>;

// The token that FakeBackend's own answer prefers by far; all others get small reproducible noise.
int32_t FavouriteToken(std::span<const int32_t> context, int32_t n_vocab);
void FavouriteAnswer(std::span<const int32_t> context, std::span<float> out);

// What greedy decoding of n tokens with `answer` gives: the oracle for engine tests.
std::vector<int32_t> GreedyTokens(std::vector<int32_t> prompt, size_t n, int32_t n_vocab,
                                  const FakeAnswer& answer = FavouriteAnswer);

struct FakeOptions {
  bool manual = false;                         // runs complete by CompleteNext only
  std::chrono::microseconds delay{0};          // else so long after run(),
  std::chrono::microseconds row_delay{0};      // and for each row
  std::chrono::microseconds adapter_delay{0};  // what adapters_set takes
  mnw_residency residency = MNW_OWNED;
  uint64_t memory_total = uint64_t{1} << 30;
  char repeatability = 'B';
  bool has_state_edit = true;
  FakeAnswer answer = FavouriteAnswer;
};

struct FakeCounters {
  // Now.
  uint32_t contexts = 0, weights = 0, plans = 0, states = 0, adapter_pools = 0;
  // Since the beginning.
  uint32_t weights_handed = 0, runs = 0, completed = 0, pages_copied = 0, pages_zeroed = 0;
  uint64_t rows = 0, rows_out = 0, rows_committed = 0;
};

struct FakeRun {  // one run()
  int64_t n_tokens = 0, n_seqs = 0, n_out = 0;
};

class FakeBackend {
 public:
  struct Impl;  // opaque

  explicit FakeBackend(FakeOptions options = {});
  ~FakeBackend();  // REQUIRES: no step in flight

  const mnw_backend* table() const;  // device 0 is "fake"

  // Completes the oldest step in flight, on the backend's thread, and returns once `done` has.
  // False if there is none within five seconds.
  bool CompleteNext();
  bool InFlight() const;

  // One-shot faults. A run fails in the call, or late through `done`; MNW_DEVICE_LOST is sticky, as
  // the contract wants it.
  void FailNextRun(mnw_code code, bool late);
  void FailNextState();  // MNW_OUT_OF_MEMORY
  void FailNextCommit(mnw_code code);
  void FailNextPlan(mnw_code code);
  // MNW_OUT_OF_MEMORY when, after so many more, a site is filled.
  void FailNextAdapter(uint32_t after = 0);

  FakeCounters counters() const;
  std::vector<FakeRun> runs() const;
  std::vector<std::string> violations() const;  // empty in a test that passes

  // Of the youngest state: pages that hold something, and what the host's allocator took back.
  uint32_t PagesHeld(uint32_t group) const;
  void ForgetPage(uint32_t group, uint32_t page);
  // Of the youngest pool of adapters: slots that hold something.
  uint32_t AdaptersHeld() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace minnow::test
