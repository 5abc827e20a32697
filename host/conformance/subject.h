// The backend under test (or the reference), driven through its C table as a host drives it.
//
// What it is handed lies in guarded memory, is taken away when the contract says so, and comes in
// the structs of a host of the same age, an older or a newer one. Every call is announced to the
// Trace first, so that a crash or a hang can be told. Threads: one at a time per context.
#pragma once

#include <minnow/abi/plugin.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "conformance/allocations.h"
#include "conformance/guarded.h"
#include "conformance/sketch.h"

namespace minnow::conformance {

// Where the child process stands; lives in memory shared with the parent.
class Trace {
 public:
  explicit Trace(std::span<char> text) : text_(text) {}
  // "prefix: where", without allocating.
  void Say(std::string_view where);
  void SetPrefix(std::string prefix) { prefix_ = std::move(prefix); }

 private:
  std::span<char> text_;
  std::string prefix_;
};

// By whose header the structs are made that a backend gets.
enum class HostAge {
  kSame,
  kNewer,  // structs and strides longer than the backend knows, unknown fields filled
  kOlder,  // structs end before the fields that came last; nothing may be read behind them
};

class Subject {
 public:
  const mnw_backend* table = nullptr;
  const mnw_host* host = nullptr;
  uint32_t device = 0;
  uint32_t n_threads = 0;
  std::string config;
  char level = 0;  // 'A', 'B' or 0: mnw_device_info.repeatability
  HostAge age = HostAge::kSame;
  Trace* trace = nullptr;
  const Allocations* allocations = nullptr;  // null: out of control

  // One call of an entry that takes a mnw_error. Failures are told with the entry's name.
  template <class F>
  Status Call(const char* entry, F&& call) const {
    mnw_error error{};
    error.node = -1;
    int code = MNW_OK;
    Enter(entry);
    try {
      code = call(&error);
    } catch (...) {
      Leave();
      return Error(Code::kInternal, "{}() let an exception escape", entry);
    }
    Leave();
    return code == MNW_OK ? Status() : Failure(entry, code, error);
  }
  // One that cannot fail.
  template <class F>
  void Do(const char* entry, F&& call) const {
    Enter(entry);
    call();
    Leave();
  }

 private:
  void Enter(const char* entry) const;
  void Leave() const;
  static Status Failure(const char* entry, int code, const mnw_error& error);
};

// A graph as a host of that age hands it over.
class HostGraph {
 public:
  HostGraph(const graph::Graph& graph, HostAge age);
  const mnw_graph* view() const;

 private:
  std::vector<Guarded> params_;
  std::unique_ptr<Guarded> values_, nodes_, graph_;
};

class Context {
 public:
  static Result<std::unique_ptr<Context>> Open(const Subject& subject);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Subject& subject() const { return subject_; }
  mnw_context* get() const { return context_; }

  // Empty if all nodes are claimed, else why not. Fails on claims that the contract forbids.
  Result<std::string> Claim(const HostGraph& graph, uint32_t n_nodes) const;

 private:
  explicit Context(const Subject& subject);
  const Subject& subject_;
  Guarded host_, options_;
  std::string config_;
  mnw_context* context_ = nullptr;
};

struct Commit {
  uint32_t group;
  std::vector<int32_t> rows, slots;
};

// One step of a case: edits of pages, a run, rows made permanent.
struct Step {
  Symbols symbols{};
  Inputs inputs;
  std::vector<mnw_page_edit> edits;
  std::vector<Commit> commits;
};

using Outputs = std::vector<Bytes>;  // in order of value id

// A claimed graph with its weights loaded, its state and its plan.
class Program {
 public:
  // REQUIRES: `context` claims the sketch; both outlive the program.
  static Result<std::unique_ptr<Program>> Make(Context& context, const Sketch& sketch,
                                               const Symbols& max);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  Result<Outputs> Run(const Step& step);
  // Also looks on for a while after `done`, for what comes too late.
  Result<Outputs> RunAndLinger(const Step& step);

  Status Edit(std::span<const mnw_page_edit> edits);
  Result<std::vector<float>> Export(uint32_t layer, uint32_t page);
  Status Import(uint32_t layer, uint32_t page, std::span<const float> values);

 private:
  class Completion;
  class Buffers;
  Program(Context& context, const Sketch& sketch);
  Status LoadWeights();
  Status MakeState();
  Status MakeAdapters();
  Status MakePlan(const Symbols& max);
  Result<Outputs> RunStep(const Step& step, bool linger);
  size_t PageFloats(uint32_t layer) const;
  const Subject& subject() const { return context_.subject(); }
  const mnw_backend& table() const { return *subject().table; }

  Context& context_;
  const Sketch& sketch_;
  HostGraph graph_;
  std::map<mnw_id, Guarded> sources_;
  std::vector<std::pair<mnw_id, mnw_weight>> weights_;
  std::unique_ptr<Guarded> spec_, groups_, layers_;
  mnw_state* state_ = nullptr;
  mnw_adapters* adapters_ = nullptr;
  mnw_plan* plan_ = nullptr;
  std::unique_ptr<Completion> completion_;
};

}  // namespace minnow::conformance
