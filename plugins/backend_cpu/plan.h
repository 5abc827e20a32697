// A prepared plan: the graph's nodes as steps in order, each with everything decided but the
// numbers of this step. Every thread of the team walks the same list of steps and does its share of
// each.
#pragma once

#include <memory>
#include <vector>

#include "adapters.h"
#include "context.h"
#include "minnow/sdk/graph_view.hpp"
#include "state.h"
#include "weights.h"

namespace minnow::cpu {

// A value of the graph during one run: resolved address and dims.
struct Tensor {
  std::byte* data;
  int64_t dim[4];
  int64_t stride[4];  // bytes

  float* f32() const { return reinterpret_cast<float*>(data); }
  const int32_t* i32() const { return reinterpret_cast<const int32_t*>(data); }
  int64_t rows() const { return dim[1] * dim[2] * dim[3]; }
  // Row r of the innermost dimension, counted over the outer ones.
  float* row(int64_t r) const {
    return reinterpret_cast<float*>(data + r % dim[1] * stride[1] +
                                    r / dim[1] % dim[2] * stride[2] +
                                    r / (dim[1] * dim[2]) * stride[3]);
  }
};

struct Range {
  int64_t begin, end;
};
// Thread ith's part of n.
inline Range Share(int64_t n, int ith, int nth) { return {n * ith / nth, n * (ith + 1) / nth}; }

// Input i of a node, MNW_NONE if it is absent.
inline mnw_id InputOf(const mnw_node& node, uint32_t i) {
  return i < node.n_in ? node.in[i] : MNW_NONE;
}

class Step;

// Where the quantized form of a value lies in scratch, made once and shared by its consumers.
struct QuantizedSlot {
  size_t q = 0, scale = 0, sum = 0;  // offsets
  int64_t k = 0;
};

// The slots of an adapter input in this run.
struct SlotInput {
  mnw_id input;
  std::vector<SlotRun> runs;  // rows without a slot are in none
};

}  // namespace minnow::cpu

struct mnw_plan {
  mnw_context* context;
  const mnw_graph* graph;
  mnw_state* state;
  mnw_adapters* adapters;
  int64_t max[MNW_N_SYMBOLS];
  std::vector<const minnow::cpu::Weight*> weights;  // by value id
  std::vector<std::unique_ptr<minnow::cpu::Step>> steps;
  std::vector<size_t> offset;         // of temporaries in scratch, by value id
  std::vector<int32_t> quantized_of;  // index into quantized, or -1, by value id
  std::vector<minnow::cpu::QuantizedSlot> quantized;
  std::vector<minnow::cpu::SlotInput> slot_runs;
  size_t scratch_bytes = 0;

  // This run.
  int64_t symbols[MNW_N_SYMBOLS];
  std::vector<std::byte*> data;  // by value id; null for packed weights

  const mnw_value& value(mnw_id id) const { return *mnw_value_at(graph, id); }
  minnow::cpu::Tensor tensor(mnw_id id) const;
  const minnow::cpu::Weight& weight(mnw_id id) const { return *weights[id]; }
  // A vector of f32, weight or not; null if absent.
  const float* vector(mnw_id id) const {
    return id == MNW_NONE ? nullptr : reinterpret_cast<const float*>(data[id]);
  }
  std::byte* scratch(size_t offset_in_scratch) const {
    return context->scratch.data() + offset_in_scratch;
  }
};

namespace minnow::cpu {

// One node at work. Run is called by every thread of the team; the team's barrier follows it.
class Step {
 public:
  virtual ~Step() = default;
  virtual void Run(const mnw_plan& plan, int ith) const = 0;
};

// Lays out scratch while the plan is made, node by node: what is alive at the same time does not
// overlap.
class PlanBuilder {
 public:
  explicit PlanBuilder(mnw_plan& plan);

  const mnw_plan& plan() const { return plan_; }
  // Makes node i's step and places its outputs.
  std::unique_ptr<Step> Build(uint32_t i);

  // For steps. Scratch that belongs to the current node alone.
  size_t Reserve(size_t n_bytes) { return Place(n_bytes, node_); }
  // The quantized form of a value of [rows, k]. `first`: this node is the one that makes it.
  int32_t Quantized(mnw_id value, bool* first);
  // Index into the plan's slot_runs.
  size_t SlotRuns(mnw_id input);

 private:
  struct Block {
    size_t begin, end;
    uint32_t last_use;  // node
  };
  // Into the first gap that is large enough; free again after node last_use.
  size_t Place(size_t n_bytes, uint32_t last_use);

  mnw_plan& plan_;
  uint32_t node_ = 0;
  std::vector<uint32_t> last_use_;  // node, by value id; a view counts for its base too
  std::vector<Block> live_;         // ascending
};

// The step of a node. Null if the op is none this backend knows; claim() has refused such nodes.
std::unique_ptr<Step> MakeStep(PlanBuilder& b, const mnw_node& node);
std::unique_ptr<Step> MakeLinearStep(PlanBuilder& b, const mnw_node& node);  // linear family
std::unique_ptr<Step> MakeRowStep(PlanBuilder& b,
                                  const mnw_node& node);  // rows, norms, elementwise
std::unique_ptr<Step> MakeRopeStep(PlanBuilder& b, const mnw_node& node);
std::unique_ptr<Step> MakeAttentionStep(PlanBuilder& b,
                                        const mnw_node& node);  // state ops, attention
std::unique_ptr<Step> MakeSeqAttentionStep(PlanBuilder& b, const mnw_node& node);
std::unique_ptr<Step> MakeRecurrentStep(PlanBuilder& b, const mnw_node& node);

using sdk::Params;

int Claim(mnw_context* c, const mnw_graph* g, mnw_claim* out, mnw_error* e);
int MakePlan(mnw_context* c, const mnw_plan_request* request, mnw_plan** out, mnw_error* e);
int RunPlan(mnw_plan* p, const mnw_run_args* args, mnw_error* e);

}  // namespace minnow::cpu
