// What makes a value legal; shared by those who write graphs and the verifier. Messages say what is
// wrong but not with which value: the caller knows its name. Threads: any.
#pragma once

#include <minnow/abi/graph.h>

#include <array>

#include "base/status.h"

namespace minnow::graph {

using Dims = std::array<int64_t, 4>;  // innermost first, unused ones 1

// A tensor type; positive dims; a symbol only as the outermost used dim; whole blocks; a size that
// no arithmetic on it overflows.
Status CheckForm(int32_t type, const Dims& dims);

// The bytes between neighbours of a packed value. REQUIRES: CheckForm.
std::array<int64_t, 4> PackedStrides(int32_t type, const Dims& dims);

// `view` has the type of `base` and lies inside it, whatever the symbols are. REQUIRES: CheckForm
// holds for both, `base` is packed.
Status CheckView(const mnw_value& base, const mnw_value& view);

// What an input of this role holds; `n_pages` is the width of a page table.
// REQUIRES: a role of mnw_input other than BOUNDARY.
Dims InputDims(uint32_t role, int64_t n_pages);
const char* InputName(uint32_t role);  // "tokens"; null for what is no role

}  // namespace minnow::graph
