// The backend under test (or the reference), driven through its C table as a host drives it.
//
// What it is handed lies in guarded memory, is taken away when the contract says so, and comes in
// the structs of a host of the same age, an older or a newer one. Every call is announced to the
// Trace first, so that a crash or a hang can be told. program.h goes on where contexts end.
// Threads: one at a time per context.
#pragma once

#include <minnow/abi/plugin.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "conformance/allocations.h"
#include "conformance/guarded.h"
#include "conformance/host_age.h"

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

class Subject {
 public:
  const mnw_backend* table = nullptr;
  const mnw_host* host = nullptr;
  uint32_t device = 0;
  uint32_t n_threads = 0;
  std::string config;
  bool own_memory = false;  // no MNW_DEVICE_HOST_MEMORY: what is bound lies in buffers
  char level = 0;           // 'A', 'B' or 0: mnw_device_info.repeatability
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
  HostGraph(const mnw_graph& graph, HostAge age);
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

  // One per node. Fails on claims that the contract forbids.
  Result<std::vector<mnw_claim>> Claim(const HostGraph& graph) const;

 private:
  explicit Context(const Subject& subject);
  const Subject& subject_;
  Guarded host_, options_;
  std::string config_;
  mnw_context* context_ = nullptr;
};

}  // namespace minnow::conformance
