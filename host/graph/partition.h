// Which backend runs which node.
//
// Backends are asked in order of priority; the last one (the CPU) is the fallback.
//  1. All claim on the graph as built. Fused nodes that the first backend refused are decomposed
//     and all claim again; a decomposition is kept only if its pieces cost less, copies included,
//     than the fused node where it would go whole.
//  2. State ops go to the home of their state: the first backend that claims every op on it.
//  3. Each other node goes to the first backend that claims it. Nodes of one claim group go
//     together or not at all.
//  4. A run of nodes between two runs of another backend that could take them as well moves there,
//     unless the difference in cost exceeds `boundary_cost` times the values that cross its edges.
// With `all_claims` costs do not count: a fused node is decomposed wherever an earlier backend
// takes a piece of it, and nothing moves. A node that nobody claims is an error with every
// backend's reason. Threads: any; claims are called from the caller's.
#pragma once

#include <minnow/abi/backend.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/graph.h"

namespace minnow::graph {

struct Claimer {
  std::string name;  // "cpu", "cuda0"
  // Fills one claim per node. Reasons must live as long as the call of PartitionGraph.
  std::function<Status(const mnw_graph*, std::span<mnw_claim>)> claim;
};

struct PartitionOptions {
  bool all_claims = false;     // every backend gets all that it claims
  bool strict = false;         // as all_claims, and a node not on the first backend is an error
  float boundary_cost = 1.0f;  // of one value crossing between backends, in the unit of claims
};

// Consecutive nodes on one backend, as a graph of their own. Values made elsewhere are inputs of
// role BOUNDARY, values needed elsewhere are outputs.
struct Partition {
  uint32_t backend;
  Graph graph;
  std::vector<mnw_id> whole;  // for each value of `graph`, its id in the whole graph
};

struct NodePlace {
  uint32_t backend;
  std::string reason;  // why not on the first backend; empty if it is
};

struct Placement {
  Graph graph;                        // the whole, with the decompositions that were kept
  std::vector<NodePlace> nodes;       // by node of `graph`
  std::vector<Partition> partitions;  // in order of execution
  std::vector<uint32_t> state_home;   // backend, by state layer; MNW_NONE for a layer without state

  // The state layers of `graph` whose home is this backend; the others have n_kv_heads 0.
  std::vector<mnw_state_layer> StateLayers(uint32_t backend) const;
};

// REQUIRES: at least one backend.
Result<Placement> PartitionGraph(Graph graph, std::span<const Claimer> backends,
                                 const PartitionOptions& options = {});

// All nodes of one backend as one graph, whatever its partitions: it shows every use of a weight.
Partition CutBackend(const Placement& placement, uint32_t backend);

// "node -> backend -> reason", one line per node.
std::string PrintPlacement(const Placement& placement, std::span<const Claimer> backends);

}  // namespace minnow::graph
