// What the process of an untrusted script does to itself before any of the script runs: afterwards
// it can compute, and talk through the descriptors that it has. Threads: those that are there;
// none can be started after ForbidSystemCalls.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace minnow::script {

// Dies with its parent, leaves no core, cannot be looked into, is the first to go when memory is
// short; may hold so many bytes of address space and use so many seconds of processors.
void LimitResources(size_t memory_bytes, unsigned long cpu_seconds);

// For all threads and for good: what is not on the list ends the process with SIGSYS.
Status ForbidSystemCalls();

}  // namespace minnow::script
