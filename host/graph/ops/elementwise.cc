// Ops that work on elements one by one.
#include "graph/op_rules.h"
#include "graph/print.h"

namespace minnow::graph {
namespace {

Status Unary(ShapeCall& c) { return c.Match("x[..,K] -> [..,K]"); }

// b has a's shape, or 1 in the dims along which it is repeated.
Status Binary(ShapeCall& c) {
  const mnw_value* b = c.in(1);
  if (!b) return c.Refuse("input b is absent");
  if (b->type != MNW_TYPE_F32) return c.Refuse("input b is {}, must be f32", PrintShape(*b));
  MNW_TRY(c.Match("a[..,K] -> [..,K]"));
  for (int i = 0; i < 4; ++i) {
    if (b->dim[i] != 1 && b->dim[i] != c.in(0)->dim[i]) {
      return c.Refuse("input b is {}, does not fit a, which is {}", PrintShape(*b),
                      PrintShape(*c.in(0)));
    }
  }
  return {};
}

}  // namespace

#define MNW_RULE(op, rule)                   \
  template <>                                \
  Status Shape<MNW_OP_##op>(ShapeCall & c) { \
    return rule(c);                          \
  }
MNW_RULE(add, Binary)
MNW_RULE(sub, Binary)
MNW_RULE(mul, Binary)
MNW_RULE(div, Binary)
MNW_RULE(scale, Unary)
MNW_RULE(silu, Unary)
MNW_RULE(gelu, Unary)
MNW_RULE(gelu_erf, Unary)
MNW_RULE(relu, Unary)
MNW_RULE(sigmoid, Unary)
MNW_RULE(tanh, Unary)
MNW_RULE(exp, Unary)
MNW_RULE(softplus, Unary)
MNW_RULE(neg, Unary)
MNW_RULE(sqr, Unary)
MNW_RULE(sqrt, Unary)
#undef MNW_RULE

std::string Describe(const mnw_scale_params& p) {
  return p.bias == 0 ? fmt::format("{}", p.scale) : fmt::format("{}, bias {}", p.scale, p.bias);
}

std::string Describe(const mnw_softcap_params& p) { return fmt::format("{}", p.cap); }

template <>
Status Shape<MNW_OP_softcap>(ShapeCall& c) {
  const float cap = c.params<mnw_softcap_params>().cap;
  if (!(cap > 0)) return c.Refuse("cap is {}", cap);
  return Unary(c);
}

std::string Describe(const mnw_clamp_params& p) { return fmt::format("{} to {}", p.lo, p.hi); }

template <>
Status Shape<MNW_OP_clamp>(ShapeCall& c) {
  const auto p = c.params<mnw_clamp_params>();
  if (!(p.lo <= p.hi)) return c.Refuse("{} to {} is no range", p.lo, p.hi);
  return Unary(c);
}

}  // namespace minnow::graph
