// A graph as text for people and tests: the same graph gives the same bytes. Inputs first, then one
// line per node, then the outputs:
//
//   %12 f32[n_tokens,2048] = linear(%11, blk.0.attn_q.weight q8_0[2048,2048]) layer 0
//
// Shapes are written outermost first, absent inputs as `-`, parameters in braces behind the op.
// Threads: any.
#pragma once

#include <minnow/abi/graph.h>

#include <string>

namespace minnow::graph {

// REQUIRES (all three): a graph that passed Verify, ids in range.
std::string Print(const mnw_graph& graph);
std::string PrintNode(const mnw_graph& graph, uint32_t node);  // one line, no newline
std::string PrintValue(const mnw_graph& graph, mnw_id value);  // as an operand: "%11", "positions"

std::string PrintShape(const mnw_value& value);  // "f32[n_tokens,2048]"
std::string PrintDim(int64_t dim);               // "2048", "n_tokens"

}  // namespace minnow::graph
