// Rows and matrices: get_rows, linear, linear_id; their fused forms qkv and lm_head.
#include "graph/op_rules.h"

namespace minnow::graph {

template <>
Status Shape<MNW_OP_get_rows>(ShapeCall& c) {
  return c.Match("table*[R,K] ids:i32[n] -> [n,K]");
}

std::string Describe(const mnw_linear_params& p) {
  return p.adapter_site == MNW_NONE ? "" : fmt::format("site {}", p.adapter_site);
}

template <>
Status Shape<MNW_OP_linear>(ShapeCall& c) {
  return c.Match("x[..,T,K] w*[N,K] bias*?[N] adapter:i32?[T] -> [..,T,N]");
}

template <>
Status Shape<MNW_OP_linear_id>(ShapeCall& c) {
  MNW_TRY(c.Match("x[T,e,K] w*[X,N,K] ids:i32[T,E] -> [T,E,N]"));
  if (c.Bound("e") != 1 && c.Bound("e") != c.Bound("E")) {
    return c.Refuse("x has {} rows per token, ids {}", c.Bound("e"), c.Bound("E"));
  }
  return {};
}

template <>
Status Shape<MNW_OP_qkv>(ShapeCall& c) {
  return c.Match(
      "x[T,K] wq*[Nq,K] wk*[Nk,K] wv*[Nv,K] bq*?[Nq] bk*?[Nk] bv*?[Nv] adapter:i32?[T]"
      " -> [T,Nq] [T,Nk] [T,Nv]");
}

template <>
void Expand<MNW_OP_qkv>(DecomposeCall& c) {
  const uint32_t site = c.params<mnw_linear_params>().adapter_site;
  for (int i = 0; i < 3; ++i) {
    const mnw_linear_params p{site == MNW_NONE ? MNW_NONE : site + static_cast<uint32_t>(i)};
    c.out[i] = c.Emit(MNW_OP_linear, {c.in(0), c.in(1 + i), c.in(4 + i), c.in(7)}, p)[0];
  }
}

std::string Describe(const mnw_lm_head_params& p) {
  std::string text;
  if (p.logit_scale != 1) text = fmt::format("scale {}", p.logit_scale);
  const auto comma = [&] { return text.empty() ? "" : ", "; };
  if (p.softcap > 0) text += fmt::format("{}softcap {}", comma(), p.softcap);
  if (p.adapter_site != MNW_NONE) text += fmt::format("{}site {}", comma(), p.adapter_site);
  return text;
}

template <>
Status Shape<MNW_OP_lm_head>(ShapeCall& c) {
  return c.Match("x[O,K] w*[V,K] adapter:i32?[O] -> [O,V]");
}

template <>
void Expand<MNW_OP_lm_head>(DecomposeCall& c) {
  const auto p = c.params<mnw_lm_head_params>();
  mnw_id y = c.Emit(MNW_OP_linear, {c.in(0), c.in(1), MNW_NONE, c.in(2)},
                    mnw_linear_params{p.adapter_site})[0];
  if (p.logit_scale != 1) y = c.Emit(MNW_OP_scale, {y}, mnw_scale_params{p.logit_scale, 0})[0];
  if (p.softcap > 0) y = c.Emit(MNW_OP_softcap, {y}, mnw_softcap_params{p.softcap})[0];
  c.out[0] = y;
}

}  // namespace minnow::graph
