// copy, concat.
#include "graph/op_rules.h"

namespace minnow::graph {

std::string Describe(const mnw_copy_params& p) {
  std::string shape = "to ";
  switch (p.type) {
#define MNW_TYPE(name, id, elements, bytes) \
  case id:                                  \
    return shape + #name;
#include <minnow/abi/types.def>
#undef MNW_TYPE
    default:
      return shape + "?";
  }
}

template <>
Status Shape<MNW_OP_copy>(ShapeCall& c) {
  MNW_TRY(c.Match("x*[..,K] -> [..,K]"));
  c.out[0].type = c.params<mnw_copy_params>().type;
  return {};
}

template <>
Status Shape<MNW_OP_concat>(ShapeCall& c) {
  if (c.in(0) && c.in(1)) c.Bind("A+B", c.in(0)->dim[0] + c.in(1)->dim[0]);
  return c.Match("a[..,A] b[..,B] -> [..,A+B]");
}

}  // namespace minnow::graph
