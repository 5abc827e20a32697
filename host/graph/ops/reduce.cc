// Along a row, and over the rows of a sequence: softmax, sum_row, max_row, top_k, pool.
#include "graph/op_rules.h"

namespace minnow::graph {

template <>
Status Shape<MNW_OP_softmax>(ShapeCall& c) {
  return c.Match("x[..,K] -> [..,K]");
}

template <>
Status Shape<MNW_OP_sum_row>(ShapeCall& c) {
  return c.Match("x[..,K] -> [..,1]");
}

template <>
Status Shape<MNW_OP_max_row>(ShapeCall& c) {
  return c.Match("x[..,K] -> [..,1]");
}

std::string Describe(const mnw_top_k_params& p) { return fmt::format("k {}", p.k); }

template <>
Status Shape<MNW_OP_top_k>(ShapeCall& c) {
  const uint32_t k = c.params<mnw_top_k_params>().k;
  c.Bind("k", k);
  if (k < 1) return c.Refuse("k is 0");
  MNW_TRY(c.Match("x[T,K] -> [T,k] ids:i32[T,k]"));
  if (k > c.Bound("K")) return c.Refuse("k is {}, rows have {} elements", k, c.Bound("K"));
  return {};
}

std::string Describe(const mnw_pool_params& p) {
  const char* kind = p.kind == MNW_POOL_MEAN ? "mean" : p.kind == MNW_POOL_FIRST ? "first" : "last";
  return fmt::format("{}{}", kind, p.l2_normalize ? ", l2" : "");
}

template <>
Status Shape<MNW_OP_pool>(ShapeCall& c) {
  if (c.params<mnw_pool_params>().kind > MNW_POOL_LAST) return c.Refuse("unknown kind");
  return c.Match("x[T,K] seq:i32[T] seq_len:i32[S] -> [S,K]");
}

}  // namespace minnow::graph
