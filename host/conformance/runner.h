// Runs cases of a plugin, each in a forked child with a time limit, so that one that crashes, hangs
// or writes where it must not costs its own line and no more. The library is opened in children
// only. Threads: the caller's, which must be the process's only one.
#pragma once

#include <minnow/abi/plugin.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "conformance/allocations.h"
#include "conformance/cases.h"

namespace minnow::conformance {

struct CheckOptions {
  std::string library;    // absolute path; its manifest lies beside it
  std::string device;     // id; empty: the backend's first
  std::string config;     // of the backend
  std::string arch_file;  // a model file for an architecture; empty: made up
  uint32_t n_threads = 0;
  uint64_t seed = 1;
  int limit_ms = 20'000;                     // of one case
  const mnw_backend* reference = nullptr;    // with the config "isa=ref"
  const Allocations* allocations = nullptr;  // or null
};

enum class Outcome { kOk, kSkipped, kFailed };

struct Report {
  Outcome outcome = Outcome::kFailed;
  std::string message;  // why skipped or failed
  double seconds = 0;
};

class Runner {
 public:
  explicit Runner(const CheckOptions& options) : options_(options) {}

  // Reads the manifest, opens the library in a child and finds out what there is to check. A
  // failure here leaves nothing to run.
  Status Prepare();
  const std::vector<Case>& cases() const { return cases_; }
  Report Run(const Case& c) const;

 private:
  // Opens the library in this process, a child.
  Result<Env> Open(Trace* trace) const;

  const CheckOptions options_;
  std::string kind_;
  std::vector<Case> cases_;
};

}  // namespace minnow::conformance
