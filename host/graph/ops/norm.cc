// Norms: rms_norm, layer_norm, l2_norm, and add_norm, which adds the residual first.
#include "graph/op_rules.h"

namespace minnow::graph {

std::string Describe(const mnw_norm_params& p) {
  std::string text = fmt::format("eps {}", p.eps);
  if (p.weight_offset != 0) text += fmt::format(", weight_offset {}", p.weight_offset);
  if (p.layer) text += ", layer_norm";
  return text;
}

template <>
Status Shape<MNW_OP_rms_norm>(ShapeCall& c) {
  return c.Match("x[..,K] w*?[K] -> [..,K]");
}

template <>
Status Shape<MNW_OP_layer_norm>(ShapeCall& c) {
  return c.Match("x[..,K] w*?[K] b*?[K] -> [..,K]");
}

template <>
Status Shape<MNW_OP_l2_norm>(ShapeCall& c) {
  return c.Match("x[..,K] -> [..,K]");
}

template <>
Status Shape<MNW_OP_add_norm>(ShapeCall& c) {
  MNW_TRY(c.Match("x[T,K] r[T,K] w*?[K] b*?[K] -> [T,K] [T,K]"));
  if (!c.params<mnw_norm_params>().layer && c.in(3)) return c.Refuse("an rms_norm has no bias");
  return {};
}

template <>
void Expand<MNW_OP_add_norm>(DecomposeCall& c) {
  auto p = c.params<mnw_norm_params>();
  const bool layer = p.layer != 0;
  p.layer = 0;
  c.out[0] = c.Emit(MNW_OP_add, {c.in(0), c.in(1)});
  c.out[1] = layer ? c.Emit(MNW_OP_layer_norm, {c.out[0], c.in(2), c.in(3)}, p)[0]
                   : c.Emit(MNW_OP_rms_norm, {c.out[0], c.in(2)}, p)[0];
}

}  // namespace minnow::graph
