// SPDX-License-Identifier: MIT
// Reading a graph (minnow/abi/graph.h): sizes, parameters and bases, for backends and for the host.
//
// Nothing here checks: hosts hand over verified graphs only. Threads: any.
#pragma once

#include <minnow/abi/graph.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace minnow::sdk {

struct Block {
  int64_t elements, bytes;
};

// The block of a tensor type; {0, 0} for what is none.
constexpr Block BlockOf(int32_t type) {
  switch (type) {
#define MNW_TYPE(name, id, block_elements, block_bytes) \
  case id:                                              \
    return {block_elements, block_bytes};
#include <minnow/abi/types.def>
#undef MNW_TYPE
    default:
      return {0, 0};
  }
}

// The values of the symbols in one step, or their largest ones.
using Symbols = std::span<const int64_t>;

inline int64_t Extent(int64_t dim, Symbols symbols) {
  return dim < 0 ? symbols[static_cast<size_t>(MNW_DIM_SYMBOL(dim))] : dim;
}

inline int64_t Elements(const mnw_value& v, Symbols symbols) {
  int64_t n = 1;
  for (int64_t dim : v.dim) n *= Extent(dim, symbols);
  return n;
}

// Of the vectors along dim[0]: all other dims multiplied.
inline int64_t Rows(const mnw_value& v, Symbols symbols) {
  int64_t n = 1;
  for (int i = 1; i < 4; ++i) n *= Extent(v.dim[i], symbols);
  return n;
}

// Bytes of one packed row. REQUIRES: dim[0] is a constant.
inline int64_t RowBytes(const mnw_value& v) {
  const Block block = BlockOf(v.type);
  return v.dim[0] / block.elements * block.bytes;
}

// Bytes of the packed value: what must be bound for an INPUT or OUTPUT.
inline int64_t Bytes(const mnw_value& v, Symbols symbols) {
  const Block block = BlockOf(v.type);
  return Elements(v, symbols) / block.elements * block.bytes;
}

// How many dims are used, at least 1.
inline int Rank(const mnw_value& v) {
  int rank = 4;
  while (rank > 1 && v.dim[rank - 1] == 1) --rank;
  return rank;
}

// True if the elements lie one after another; a dim of 1 may have any stride.
inline bool IsPacked(const mnw_value& v) {
  const Block block = BlockOf(v.type);
  int64_t stride = block.bytes;
  for (int i = 0; i < 4; ++i) {
    if (v.dim[i] != 1 && v.stride[i] != stride) return false;
    if (v.dim[i] > 0) stride *= i == 0 ? v.dim[0] / block.elements : v.dim[i];
  }
  return true;
}

// The parameters of a node; fields that its maker did not know are zero.
template <class T>
T Params(const void* params, uint32_t params_size) {
  T result{};
  if (params) std::memcpy(&result, params, std::min<size_t>(sizeof result, params_size));
  return result;
}
template <class T>
T Params(const mnw_node& node) {
  return Params<T>(node.params, node.params_size);
}

// Calls fn(site, i) for each input i of the node that is a matrix with a site of the adapter pool.
// Returns the value that holds the slots of its rows; MNW_NONE if the node has no sites.
template <class Fn>
mnw_id ForEachSite(const mnw_node& n, Fn&& fn) {
  const auto each = [&](uint32_t input, uint32_t first, uint32_t n_matrices,
                        uint32_t site) -> mnw_id {
    if (input >= n.n_in || n.in[input] == MNW_NONE) return MNW_NONE;
    for (uint32_t i = 0; i < n_matrices; ++i) {
      if (n.in[first + i] != MNW_NONE) fn(site == MNW_NONE ? site : site + i, first + i);
    }
    return n.in[input];
  };
  switch (n.op) {
    case MNW_OP_linear:
      return each(3, 1, 1, Params<mnw_linear_params>(n).adapter_site);
    case MNW_OP_qkv:
      return each(7, 1, 3, Params<mnw_linear_params>(n).adapter_site);
    case MNW_OP_glu_ffn:
      return each(4, 1, 3, Params<mnw_glu_params>(n).adapter_site);
    case MNW_OP_lm_head:
      return each(2, 1, 1, Params<mnw_lm_head_params>(n).adapter_site);
    default:
      return MNW_NONE;
  }
}

// A graph with the strides of its arrays hidden.
class GraphView {
 public:
  explicit GraphView(const mnw_graph& graph) : graph_(&graph) {}

  uint32_t n_values() const { return graph_->n_values; }
  uint32_t n_nodes() const { return graph_->n_nodes; }
  const mnw_value& value(mnw_id id) const { return *mnw_value_at(graph_, id); }
  const mnw_node& node(uint32_t i) const { return *mnw_node_at(graph_, i); }

  // Input or output i of a node. REQUIRES: present.
  const mnw_value& in(const mnw_node& n, int i) const { return value(n.in[i]); }
  const mnw_value& out(const mnw_node& n, int i = 0) const { return value(n.out[i]); }
  static bool HasIn(const mnw_node& n, int i) { return i < n.n_in && n.in[i] != MNW_NONE; }

  // What a value's bytes belong to: the value itself, or what it is a view of.
  mnw_id Base(mnw_id id) const { return value(id).kind == MNW_KIND_VIEW ? value(id).view_of : id; }

 private:
  const mnw_graph* graph_;
};

}  // namespace minnow::sdk
