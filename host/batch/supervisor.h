// A batch in a child process, begun again when that dies: a document that brings the process down
// (a fault of a plugin, memory that runs out) costs its own record and no other.
//
// Threads: the caller's, which must be the process's only one.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"

namespace minnow::batch {

struct SupervisorOptions {
  // Whose unfinished documents get a strike when the child dies; empty: others count them.
  std::string journal = "";
  bool may_restart = true;  // false: the input is a pipe and cannot be read again
  uint32_t max_restarts = 100;
};

// Runs `run` in a child until it returns, and gives what it returned. Signals that end a process
// are passed on to the child, which decides. kInternal: the child died with nothing under way, or
// too often.
Result<int> Supervise(const SupervisorOptions& options, const std::function<int()>& run);

// Exit codes after which the child is begun again, without a strike: a device was lost, a mapped
// file was cut (base/mapping_fault.h).
inline constexpr int kExitDeviceLost = 75;

}  // namespace minnow::batch
