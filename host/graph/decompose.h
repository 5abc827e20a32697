// Fused nodes as the core ops they stand for. Threads: any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "graph/graph.h"

namespace minnow::graph {

struct Decomposed {
  Graph graph;
  std::vector<uint32_t> origin;  // for each node of `graph`, the node it came from
};

// A new graph in which each node i with selected[i] != 0 is replaced by its decomposition; the
// selected nodes that are not FUSED stay. REQUIRES: one element per node.
Result<Decomposed> Decompose(const Graph& graph, std::span<const uint8_t> selected);

}  // namespace minnow::graph
