// What is asked of the graph that an architecture builds, beyond that it verifies. Threads: any.
#pragma once

#include "base/status.h"
#include "graph/graph.h"

namespace minnow::conformance {

// It has the output that hosts read, and its info fits it.
Status CheckForm(const graph::Graph& graph);

// Ok if all that a host or a backend can read of them is the same, to the byte.
Status CompareGraphs(const graph::Graph& a, const graph::Graph& b);

// The same nodes; without adapters no sites, with them one for every matrix whose rows are those of
// the step or its out rows. That each is its matrix's own is verified when the graph is built.
Status CompareSites(const graph::Graph& without, const graph::Graph& with);

}  // namespace minnow::conformance
