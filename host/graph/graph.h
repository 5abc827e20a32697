// An owned, immutable graph of the plugin contract (minnow/abi/graph.h), and what an architecture
// told about the model beside it: outputs by name, groups and layers of state, sizes.
//
// A Draft (draft.h) makes one. view() is what backends get; it and all that it points to stay where
// they are when the Graph is moved, and live as long as it. Threads: immutable.
#pragma once

#include <minnow/abi/arch.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "graph/arena.h"

namespace minnow::graph {

// Everything a graph holds; only Draft writes it.
struct GraphData {
  std::vector<mnw_value> values;
  std::vector<mnw_node> nodes;
  std::vector<mnw_id> weights, inputs, outputs;  // value ids, in ascending order
  std::vector<mnw_state_group> state_groups;     // n_pages is 0: the engine's to decide
  // By the `index` of STATE values. A layer without state has n_kv_heads 0. `type` is F32: the
  // engine's to decide.
  std::vector<mnw_state_layer> state_layers;
  mnw_model_info info{};
  mnw_graph view{};
  Arena arena;
};

class Graph {
 public:
  explicit Graph(std::unique_ptr<const GraphData> data) : data_(std::move(data)) {}

  const mnw_graph* view() const { return &data_->view; }

  std::span<const mnw_value> values() const { return data_->values; }
  std::span<const mnw_node> nodes() const { return data_->nodes; }
  const mnw_value& value(mnw_id id) const { return data_->values[id]; }
  const mnw_node& node(uint32_t i) const { return data_->nodes[i]; }

  std::span<const mnw_id> weights() const { return data_->weights; }
  std::span<const mnw_id> inputs() const { return data_->inputs; }
  std::span<const mnw_id> outputs() const { return data_->outputs; }
  // "logits" or "embedding". MNW_NONE if the graph has no such output.
  mnw_id Output(std::string_view name) const;
  // The input of this role, `group` for PAGES and SLOTS. MNW_NONE if no node reads it.
  mnw_id Input(mnw_input role, uint32_t group = 0) const;

  std::span<const mnw_state_group> state_groups() const { return data_->state_groups; }
  std::span<const mnw_state_layer> state_layers() const { return data_->state_layers; }
  const mnw_model_info& info() const { return data_->info; }

 private:
  std::unique_ptr<const GraphData> data_;
};

}  // namespace minnow::graph
