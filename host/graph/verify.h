// Checks a graph that someone else made: nothing in it is trusted but the addresses of its arrays.
//
// What holds afterwards: structs and strides are at least this header's; ids are in range; every
// value has one producer and nodes read only what stands before them; types, dims and symbols are
// legal and no size overflows; all but views are packed and views lie inside their base, which is
// no view; arity and parameters fit the op; outputs have the shapes of its rule; inputs have the
// type and shape of their role; a layer's state is read in its newest version only. Threads: any.
#pragma once

#include <minnow/abi/graph.h>

#include "base/status.h"

namespace minnow::graph {

// kInvalid with a message that names node ("node 3 (linear)") and value ("%11").
Status Verify(const mnw_graph* graph);

}  // namespace minnow::graph
