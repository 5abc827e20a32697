// What adapters add to the matrices of a node that have one input: u = A x once for all of them,
// then y += B u wherever a step makes its outputs.
//
// Rows of one slot that follow one another are multiplied together. A row's sums are chains over
// ascending k of its own activation as f32, whatever runs beside it.
#pragma once

#include <initializer_list>
#include <vector>

#include "kernels/linear.h"
#include "minnow/abi/graph.h"

struct mnw_plan;

namespace minnow::cpu {

class PlanBuilder;

class SiteDeltas {
 public:
  // `matrices`: those inputs of the node that are multiplied by this input.
  SiteDeltas(PlanBuilder& b, const mnw_node& node, std::initializer_list<uint32_t> matrices);

  // True if any row of this run has a delta: then x.f32 is read.
  bool Active(const mnw_plan& plan) const;
  // u = A x. Every thread calls this; ends with a barrier where there was something to do. Returns
  // Active().
  bool Project(const mnw_plan& plan, int ith, const Activations& x) const;
  // y[t, 0..n) += B u for panels [p0,p1) of a part of the matrix that is input `matrix`.
  void Add(const mnw_plan& plan, uint32_t matrix, int64_t part, int64_t p0, int64_t p1, int64_t n,
           float* y, int64_t ldy) const;

 private:
  struct Item {
    uint32_t matrix;
    size_t site;  // position in the pool
    size_t u;     // [rows, max_rank] in scratch
  };
  std::vector<Item> items_;
  size_t runs_ = 0;  // of the plan, by their index
};

}  // namespace minnow::cpu
