// A model placed on devices: partitions, plans, weights and state, ready to run steps.
//
// Weights are handed over partition by partition, node by node, and the mapped pages of what a backend
// copied are dropped at once, so repacking never doubles resident memory.
// Threads: one caller at a time (the engine's executor); Start returns before the step is done.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/partition.h"
#include "model/model.h"
#include "plugins/device.h"

namespace minnow::model {

struct InstanceOptions {
  uint32_t max_tokens = 512;  // rows of a step
  uint32_t max_seqs = 64;     // sequences in a step
  uint32_t max_out = 128;     // rows of logits in a step
  uint32_t kv_tokens = 0;     // positions the cache holds; 0: max_seqs * n_ctx within a quarter of memory
  int32_t kv_type = MNW_TYPE_F16;
  bool strict_backend = false;  // refuse any fallback from the first device
};

inline constexpr uint32_t kPageTokens = 32;

// The inputs of one step, as ops.h describes them. Row arrays have n_tokens elements, sequence arrays
// n_seqs; pages of a group: n_seqs rows of Instance::page_columns().
struct StepInputs {
  std::vector<int32_t> tokens, positions, seq, parent;
  std::vector<int32_t> seq_len;
  std::vector<int32_t> out_rows;
  std::vector<std::vector<int32_t>> pages, slots;  // by state group
};

class Instance {
 public:
  // `devices` in order of preference; the last takes what the others leave. They outlive the instance.
  static Result<std::unique_ptr<Instance>> Create(std::shared_ptr<const Model> model,
                                                  std::span<plugins::Device* const> devices,
                                                  const InstanceOptions& options = {});
  ~Instance();

  const Model& model() const { return *model_; }
  const InstanceOptions& options() const { return options_; }
  uint32_t n_groups() const { return static_cast<uint32_t>(n_pages_.size()); }
  uint32_t n_pages(uint32_t group) const { return n_pages_[group]; }
  uint32_t window(uint32_t group) const { return windows_[group]; }
  uint32_t page_columns() const { return page_columns_; }
  uint32_t n_vocab() const { return n_vocab_; }
  uint64_t weight_bytes() const { return weight_bytes_; }  // backends' own memory
  uint64_t state_bytes() const { return state_bytes_; }
  std::string PlacementText() const;  // node, backend, reason

  // Runs the first partition of a step; `inputs` stays untouched until Wait returns.
  Status Start(const StepInputs& inputs);
  // Waits for the step, running its further partitions. The logits [n_out, n_vocab] stay valid until the
  // next Start.
  Result<std::span<const float>> Wait();

  // Copy on write, clearing, and commitment of rows that had no slot.
  Status EditPages(std::span<const mnw_page_edit> edits);
  Status Commit(uint32_t group, std::span<const int32_t> rows, std::span<const int32_t> slots);

 private:
  struct Part;
  Instance() = default;

  std::shared_ptr<const Model> model_;
  InstanceOptions options_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<uint32_t> n_pages_, windows_;
  uint32_t page_columns_ = 0, n_vocab_ = 0;
  uint64_t weight_bytes_ = 0, state_bytes_ = 0;
  // ... (bindings, boundary buffers, completion) in instance.cc
};

}  // namespace minnow::model
