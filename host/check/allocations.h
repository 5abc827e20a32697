// The controls of this program's own malloc, see conformance/allocations.h.
#pragma once

#include "conformance/allocations.h"

namespace minnow::check {

// Null where malloc is not ours: under sanitizers.
const conformance::Allocations* AllocationControls();

}  // namespace minnow::check
