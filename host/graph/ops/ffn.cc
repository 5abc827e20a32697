// Feed-forward blocks: glu_ffn and moe_ffn.
#include "graph/op_rules.h"

namespace minnow::graph {
namespace {

// Out of range: SILU; Shape has refused it before.
mnw_op ActOp(uint32_t act) {
  switch (act) {
    case MNW_ACT_GELU:
      return MNW_OP_gelu;
    case MNW_ACT_GELU_ERF:
      return MNW_OP_gelu_erf;
    case MNW_ACT_RELU:
      return MNW_OP_relu;
    default:
      return MNW_OP_silu;
  }
}

const char* ActName(uint32_t act) { return FindOp(ActOp(act))->name; }

}  // namespace

std::string Describe(const mnw_glu_params& p) {
  std::string text = ActName(p.act);
  if (p.adapter_site != MNW_NONE) text += fmt::format(", site {}", p.adapter_site);
  return text;
}

template <>
Status Shape<MNW_OP_glu_ffn>(ShapeCall& c) {
  if (c.params<mnw_glu_params>().act > MNW_ACT_RELU) return c.Refuse("unknown activation");
  if (!c.in(2) && c.in(1)) {  // gate holds the rows of both
    if (c.in(1)->dim[1] % 2 != 0) {
      return c.Refuse("gate without up has {} rows, an odd number", c.in(1)->dim[1]);
    }
    c.Bind("F", c.in(1)->dim[1] / 2);
    c.Bind("G", c.in(1)->dim[1]);
    return c.Match("x[T,K] gate*[G,K] up*?[F,K] down*[N,F] adapter:i32?[T] -> [T,N]");
  }
  return c.Match("x[T,K] gate*[F,K] up*[F,K] down*[N,F] adapter:i32?[T] -> [T,N]");
}

template <>
void Expand<MNW_OP_glu_ffn>(DecomposeCall& c) {
  const auto p = c.params<mnw_glu_params>();
  const mnw_id x = c.in(0), adapter = c.in(4);
  const auto site = [&](uint32_t i) {
    return mnw_linear_params{p.adapter_site == MNW_NONE ? MNW_NONE : p.adapter_site + i};
  };
  mnw_id gate = c.Emit(MNW_OP_linear, {x, c.in(1), MNW_NONE, adapter}, site(0))[0];
  mnw_id up;
  if (c.in(2) != MNW_NONE) {
    up = c.Emit(MNW_OP_linear, {x, c.in(2), MNW_NONE, adapter}, site(1))[0];
  } else {
    const mnw_value w = c.value(c.in(1));
    const int64_t f = w.dim[1] / 2, rows = c.value(x).dim[1];
    const int64_t element = sizeof(float);
    const std::array<int64_t, 4> strides{element, 2 * f * element, element, element};
    up = c.View(gate, {f, rows, 1, 1}, strides, static_cast<uint64_t>(f * element));
    gate = c.View(gate, {f, rows, 1, 1}, strides, 0);
  }
  const mnw_id hidden = c.Emit(MNW_OP_mul, {c.Emit(ActOp(p.act), {gate}), up});
  c.out[0] = c.Emit(MNW_OP_linear, {hidden, c.in(3), MNW_NONE, adapter}, site(2))[0];
}

std::string Describe(const mnw_moe_params& p) {
  return fmt::format("{}, {} experts used{}, scale {}", ActName(p.act), p.n_used,
                     p.renormalize ? ", renormalized" : "", p.scale);
}

template <>
Status Shape<MNW_OP_moe_ffn>(ShapeCall& c) {
  MNW_TRY(c.Match("x[T,K] router*[X,K] gate*[X,F,K] up*[X,F,K] down*[X,N,F] -> [T,N]"));
  const auto p = c.params<mnw_moe_params>();
  if (p.act > MNW_ACT_RELU) return c.Refuse("unknown activation");
  if (p.n_used < 1 || p.n_used > c.Bound("X")) {
    return c.Refuse("{} of {} experts are used", p.n_used, c.Bound("X"));
  }
  return {};
}

template <>
void Expand<MNW_OP_moe_ffn>(DecomposeCall& c) {
  const auto p = c.params<mnw_moe_params>();
  const mnw_value x = c.value(c.in(0));
  const int64_t k = x.dim[0], rows = x.dim[1], used = p.n_used, n = c.value(c.in(4)).dim[1];

  const mnw_id scores = c.Emit(MNW_OP_linear, {c.in(0), c.in(1)}, mnw_linear_params{MNW_NONE})[0];
  const Outs top =
      c.Emit(MNW_OP_top_k, {c.Emit(MNW_OP_softmax, {scores})}, mnw_top_k_params{p.n_used});
  mnw_id weights = top[0];
  if (p.renormalize) {
    weights = c.Emit(MNW_OP_div, {weights, c.Emit(MNW_OP_sum_row, {weights})});
  }
  if (p.scale != 1) weights = c.Emit(MNW_OP_scale, {weights}, mnw_scale_params{p.scale, 0})[0];

  const mnw_id x3 = c.Reshape(c.in(0), {k, 1, rows, 1});
  const mnw_id gate = c.Emit(MNW_OP_linear_id, {x3, c.in(2), top[1]});
  const mnw_id up = c.Emit(MNW_OP_linear_id, {x3, c.in(3), top[1]});
  const mnw_id hidden = c.Emit(MNW_OP_mul, {c.Emit(ActOp(p.act), {gate}), up});
  const mnw_id each = c.Emit(MNW_OP_linear_id, {hidden, c.in(4), top[1]});
  const mnw_id weighted = c.Emit(MNW_OP_mul, {each, c.Reshape(weights, {1, used, rows, 1})});

  // The sum over experts: they become the innermost dim. Its order is that of the scores, not of
  // the expert ids: the fused op's bits are its own.
  const int64_t element = sizeof(float);
  const mnw_id turned =
      c.View(weighted, {used, n, rows, 1}, {n * element, element, used * n * element, element}, 0);
  const mnw_id sums =
      c.Emit(MNW_OP_sum_row, {c.Emit(MNW_OP_copy, {turned}, mnw_copy_params{MNW_TYPE_F32})[0]});
  c.out[0] =
      c.Emit(MNW_OP_copy, {c.Reshape(sums, {n, rows, 1, 1})}, mnw_copy_params{MNW_TYPE_F32})[0];
}

}  // namespace minnow::graph
