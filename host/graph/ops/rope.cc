#include "graph/op_rules.h"

namespace minnow::graph {

std::string Describe(const mnw_rope_params& p) {
  std::string text = fmt::format("{}, dims {}, base {}", p.kind == MNW_ROPE_NEOX ? "neox" : "norm",
                                 p.n_dims, p.base);
  if (p.scaling != MNW_ROPE_PLAIN) {
    text += fmt::format(", {} {}", p.scaling == MNW_ROPE_YARN ? "yarn" : "linear", p.freq_scale);
  }
  if (p.scaling == MNW_ROPE_YARN) {
    text +=
        fmt::format(", beta {} to {}, context {}", p.beta_fast, p.beta_slow, p.original_context);
  }
  if (p.attn_factor != 1) text += fmt::format(", attn_factor {}", p.attn_factor);
  return text;
}

template <>
Status Shape<MNW_OP_rope>(ShapeCall& c) {
  const auto p = c.params<mnw_rope_params>();
  c.Bind("n_dims/2", p.n_dims / 2);
  if (p.n_dims == 0 || p.n_dims % 2 != 0) return c.Refuse("it rotates {} dims", p.n_dims);
  if (p.kind > MNW_ROPE_NEOX || p.scaling > MNW_ROPE_YARN) {
    return c.Refuse("kind {} with scaling {} is unknown", p.kind, p.scaling);
  }
  if (!(p.base > 0) || !(p.attn_factor > 0)) {
    return c.Refuse("base {} and attn_factor {} must be positive", p.base, p.attn_factor);
  }
  if (p.scaling != MNW_ROPE_PLAIN && !(p.freq_scale > 0)) {
    return c.Refuse("freq_scale {} must be positive", p.freq_scale);
  }
  if (p.scaling == MNW_ROPE_YARN && p.original_context == 0) {
    return c.Refuse("yarn needs the original context length");
  }
  MNW_TRY(c.Match("x[T,H,D] positions:i32[T] factors*?[n_dims/2] -> [T,H,D]"));
  if (p.n_dims > c.Bound("D")) {
    return c.Refuse("it rotates {} dims of heads of {}", p.n_dims, c.Bound("D"));
  }
  return {};
}

}  // namespace minnow::graph
