// conv_step, scan.
#include "graph/op_rules.h"

namespace minnow::graph {

template <>
Status Shape<MNW_OP_conv_step>(ShapeCall& c) {
  if (c.in(3) && c.in(3)->dim[0] < 2) return c.Refuse("a window of one input has no state");
  if (c.in(3)) c.Bind("W-1", c.in(3)->dim[0] - 1);
  return c.Match("x[T,C] state@[1,C,W-1] slots:i32[T] w*[C,W] bias*?[C] -> [T,C]");
}

template <>
Status Shape<MNW_OP_scan>(ShapeCall& c) {
  MNW_TRY(
      c.Match("x[T,H,D] dt[T,H] a*[H] b[T,G,N] c[T,G,N] d*[H] state@[H,D,N] slots:i32[T]"
              " -> [T,H,D]"));
  if (c.Bound("H") % c.Bound("G") != 0) {
    return c.Refuse("{} heads share {} groups", c.Bound("H"), c.Bound("G"));
  }
  return {};
}

}  // namespace minnow::graph
