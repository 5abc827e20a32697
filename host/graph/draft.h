// A graph being written, node by node in order of execution. What every producer of graphs shares:
// the builder, the decomposer and the partitioner. Each call checks what it adds (ids, legal types
// and dims, the op's shape rule) and leaves the draft as it was on failure. Threads: one at a time.
#pragma once

#include <minnow/abi/arch.h>

#include <array>
#include <span>
#include <string_view>

#include "base/status.h"
#include "graph/graph.h"
#include "graph/value_rules.h"

namespace minnow::graph {

using Outs = std::array<mnw_id, MNW_MAX_OUTPUTS>;  // unused ones MNW_NONE
inline constexpr Outs kNoOuts = [] {
  Outs outs{};
  outs.fill(MNW_NONE);
  return outs;
}();

class Draft {
 public:
  Draft() : data_(std::make_unique<GraphData>()) {}

  Result<mnw_id> AddWeight(std::string_view name, mnw_type type, const Dims& dims);
  Result<mnw_id> AddInput(mnw_input role, uint32_t index, mnw_type type, const Dims& dims,
                          std::string_view name);

  uint32_t AddStateGroup(mnw_state_kind kind, uint32_t window, uint32_t page_tokens);
  Result<mnw_id> AddState(uint32_t layer, uint32_t group, uint32_t n_kv_heads, uint32_t k_dim,
                          uint32_t v_dim);

  // strides empty: packed. A view of a view becomes one of the base.
  Result<mnw_id> AddView(mnw_id of, const Dims& dims, std::span<const int64_t, 4> strides,
                         uint64_t offset);
  Result<mnw_id> AddPackedView(mnw_id of, const Dims& dims, uint64_t offset);

  // Appends a node; new values for its outputs.
  Result<Outs> Emit(uint32_t op, int32_t layer, std::span<const mnw_id> in, const void* params,
                    uint32_t params_size);
  template <class Params>
  Result<Outs> Emit(mnw_op op, int32_t layer, std::span<const mnw_id> in, const Params& params) {
    return Emit(op, layer, in, &params, sizeof params);
  }

  // A value made by a node becomes an output of the graph.
  Status MarkOutput(mnw_id value, std::string_view name);

  // For copying parts of another graph: appends as they are, with ids already translated; strings
  // and parameters are copied. Nothing is checked.
  mnw_id CopyValue(const mnw_value& value);
  void CopyNode(const mnw_node& node);
  void CopyModel(const Graph& from);  // state groups, state layers, info
  void SetInfo(const mnw_model_info& info) { data_->info = info; }

  const mnw_value& value(mnw_id id) const { return data_->values[id]; }
  uint32_t n_values() const { return static_cast<uint32_t>(data_->values.size()); }
  uint32_t n_nodes() const { return static_cast<uint32_t>(data_->nodes.size()); }
  std::span<const mnw_state_group> state_groups() const { return data_->state_groups; }

  // REQUIRES: not called before.
  Graph Finish();

 private:
  Result<mnw_id> Add(mnw_value value, std::string_view name);

  std::unique_ptr<GraphData> data_;
};

}  // namespace minnow::graph
