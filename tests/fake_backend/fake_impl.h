// What the two halves of the fake backend share: its handles, its runs in flight, its object.
#pragma once

#include <minnow/abi/backend.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fake_backend/fake_backend.h"
#include "fake_backend/fake_state.h"

namespace minnow::test {

// What the handles of the contract are here. They are cast, not defined as mnw_context and so on,
// since a backend's own definitions may be linked into the same test. All fields but `calls` are
// guarded by Impl::mutex.
struct FakeContext {
  FakeBackend::Impl* backend;
  std::atomic<int> calls = 0;  // inside the backend right now
  int in_flight = 0;
  bool lost = false;
  std::set<std::pair<const mnw_graph*, mnw_id>> weights;
  std::map<void*, std::pair<const mnw_graph*, mnw_id>> handles;
};

struct FakeStateHandle {
  FakeContext* context;
  FakeState cells;
};

struct FakeAdapters {
  FakeContext* context;
  uint32_t max_rank;
  std::set<uint32_t> sites;
  std::vector<std::map<uint32_t, float>> slots;  // what is set: site -> scale

  // The token that rows of each slot stand on, since it changes what they give: the sum of the
  // slot's scales. 0 where the slot is empty.
  Tokens Marks() const;
};

struct FakePlan {
  FakeContext* context;
  const mnw_graph* graph;
  FakeStateHandle* state;
  FakeAdapters* adapters;
  int64_t max[MNW_N_SYMBOLS];
};

// A step in flight. The bindings are read again when it completes, as an asynchronous device would,
// and compared with what they held when it was enqueued.
struct Pending {
  FakePlan* plan;
  mnw_run_args args;
  std::vector<std::pair<const mnw_value*, Tokens>> inputs;  // the i32 ones
  Tokens marks;                                             // of the adapter slots
  int fail_code = MNW_OK;
  std::chrono::steady_clock::time_point due;
};

struct FakeBackend::Impl {
  FakeOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Pending> queue;
  uint32_t allowed = 0;  // manual completions asked for
  bool stop = false;
  FakeCounters counters;
  std::vector<FakeRun> runs;
  std::vector<std::string> violations;
  std::vector<FakeStateHandle*> states;
  std::vector<FakeAdapters*> adapter_pools;
  int fail_run = MNW_OK, fail_run_late = MNW_OK, fail_plan = MNW_OK, fail_commit = MNW_OK;
  bool fail_state = false;
  uint32_t adapters_until_failure = 0;  // 0: none fails
  std::thread worker;

  void Work();
};

// One FakeBackend lives at a time: open() has no other way to find its object.
extern FakeBackend::Impl* g_current;
// True on the backend's thread while it calls `done`.
extern thread_local bool t_inside_done;
extern const mnw_backend kFakeTable, kFakeTableWithoutEdit;

int64_t Elements(const mnw_value& value, const int64_t* symbols);
void* Bound(const mnw_run_args& args, mnw_id id);              // null if it is not bound
int Fail(mnw_error* e, int code, const std::string& message);  // returns code
// The i32 inputs as they are bound now. What is missing is named in *wrong.
std::vector<std::pair<const mnw_value*, Tokens>> ReadInputs(const FakePlan& plan,
                                                            const mnw_run_args& args,
                                                            std::string* wrong);

}  // namespace minnow::test
