// A model placed on devices: partitions, plans, weights and state, ready to run steps.
//
// Weights are handed over node by node, and the mapped pages of what a backend copied are dropped
// at once, so that repacking never doubles resident memory. On a device with memory of its own
// every input and output has a buffer as large as the largest step needs, at an address that never
// changes; bytes go there before a part runs, and what another device or the host reads comes back
// after it. Threads: one caller at a time (the engine's executor). A step may still be running when
// Start returns.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "graph/partition.h"
#include "model/adapter.h"
#include "model/model.h"
#include "plugins/device.h"

namespace minnow::model {

inline constexpr uint32_t kPageTokens = 32;

struct InstanceOptions {
  uint32_t max_tokens = 512;  // rows of a step; an encoder takes at least n_ctx
  uint32_t max_seqs = 64;     // sequences in a step
  uint32_t max_out = 128;     // rows of logits in a step
  uint32_t kv_tokens =
      0;  // positions the cache holds; 0: max_seqs * n_ctx, within a quarter of memory
  int32_t kv_type = MNW_TYPE_F16;
  bool all_claims = false;      // each device gets all that it claims, whatever the copies cost
  bool strict_backend = false;  // refuse any fallback from the first device
  uint64_t memory_bytes = 0;    // most it may take on each device; 0: what the device has in all
  // Adapters that can be there at one time, and their largest rank. 0 slots, or a device whose
  // backend has no adapters: none.
  uint32_t adapter_slots = 16;
  uint32_t adapter_rank = 256;
};

// The inputs of one step, as abi/ops.h describes them. Arrays over rows have n_tokens elements,
// over sequences n_seqs; a group's pages are n_seqs rows of Instance::page_columns(), and nothing
// in a recurrent group, whose slots are the sequences' blocks.
struct StepInputs {
  std::vector<int32_t> tokens, positions, seq, parent, adapter;
  std::vector<int32_t> seq_len;
  std::vector<int32_t> out_rows, out_adapter;
  std::vector<std::vector<int32_t>> pages, slots;  // by state group
};

// What one layer keeps of a position: that many f32 of keys, and of values, in the canonical form
// of the ABI (state_export).
struct StateLayer {
  uint32_t index;  // of the STATE value
  uint32_t group;
  uint32_t key_floats, value_floats;
  uint32_t device;
};

// A graph and what it is run on, so that tests can do without a model.
struct InstanceSource {
  graph::Graph graph;
  const Source* weights = nullptr;  // null: the graph has none
  uint32_t n_ctx = 0;
};

class Instance {
 public:
  // `devices` in order of preference; the last takes what the others leave. They outlive the
  // instance. What will be needed is added up before anything is loaded: kPrecondition with the
  // figures when it exceeds the memory. kCorrupt when the file was changed since the model was
  // loaded.
  static Result<std::unique_ptr<Instance>> Create(std::shared_ptr<const Model> model,
                                                  std::span<plugins::Device* const> devices,
                                                  const InstanceOptions& options = {});
  static Result<std::unique_ptr<Instance>> Create(InstanceSource source,
                                                  std::span<plugins::Device* const> devices,
                                                  const InstanceOptions& options = {});
  ~Instance();

  // REQUIRES: made from a model.
  bool has_model() const { return model_ != nullptr; }
  const Model& model() const { return *model_; }
  const InstanceOptions& options() const { return options_; }
  uint32_t n_ctx() const { return n_ctx_; }
  uint32_t n_groups() const { return static_cast<uint32_t>(groups_.size()); }
  uint32_t n_pages(uint32_t group) const { return groups_[group].n_pages; }
  uint32_t window(uint32_t group) const { return groups_[group].window; }
  // A group whose pages are one block per sequence (MNW_STATE_RECURRENT).
  bool recurrent(uint32_t group) const { return groups_[group].kind == MNW_STATE_RECURRENT; }
  // A backend may have no state_edit.
  bool can_copy_pages() const;
  // May rows of guesses run beside the others and be committed if they were right? Not where they
  // cannot be left out again, nor where the same row gives other bits in such a step.
  bool can_speculate() const;
  uint32_t page_columns() const { return (n_ctx_ + kPageTokens - 1) / kPageTokens; }
  uint32_t n_vocab() const { return n_vocab_; }
  // One embedding per sequence comes out instead of logits, and a sequence is one step.
  bool is_encoder() const { return is_encoder_; }
  uint32_t output_width() const { return output_width_; }  // of a row of logits, of an embedding
  uint64_t weight_bytes() const { return weight_bytes_; }  // memory of the backends' own
  uint64_t state_bytes() const { return state_bytes_; }
  uint64_t adapter_bytes() const { return adapter_bytes_; }
  const graph::Graph& graph() const { return placement_->graph; }
  const graph::Placement& placement() const { return *placement_; }
  std::span<const std::string> device_names() const { return device_names_; }  // by backend there
  std::span<const std::string> device_descriptions() const { return device_descriptions_; }
  std::string PlacementText() const;  // node, backend, reason

  // Starts a step; `inputs` stays untouched until Wait returns.
  Status Start(const StepInputs& inputs);
  // Waits for the step. Its logits [n_out, output_width] or embeddings [n_seqs, output_width] stay
  // valid until the next Start.
  Result<std::span<const float>> Wait();

  // Copy on write and clearing of pages; rows of the last step without a slot made permanent.
  Status EditPages(std::span<const mnw_page_edit> edits);
  Status Commit(uint32_t group, std::span<const int32_t> rows, std::span<const int32_t> slots);
  // A page of keys and values as floats, and back: first the page's keys, then its values.
  // kUnsupported where a backend cannot do that. REQUIRES: a layer of a group that is not
  // recurrent.
  std::span<const StateLayer> state_layers() const { return state_layers_; }
  Status ExportPage(const StateLayer& layer, int32_t page, std::span<float> out);
  Status ImportPage(const StateLayer& layer, int32_t page, std::span<const float> in);

  // REQUIRES: made from a model.
  AdapterTarget adapter_target() const {
    return {model_->architecture(), graph(), options_.adapter_rank};
  }
  // Fills a slot of the adapter pool, which may go by parts of the adapter, and empties it.
  // REQUIRES: no step that has rows of it is running; the adapter was loaded for this graph. A
  // failure leaves the slot empty.
  Status SetAdapter(uint32_t slot, std::span<const AdapterDelta> deltas);
  Status ClearAdapter(uint32_t slot);

 private:
  struct Part;
  class Completion;
  struct DeviceMemory;
  Instance();

  Status Place(InstanceSource source, std::span<plugins::Device* const> devices);
  Status FindOutput();
  Status CreateStates(std::span<plugins::Device* const> devices);
  void SizeGroups(plugins::Device& device, mnw_state_spec spec);
  uint64_t MemoryLimit(const plugins::Device& device) const;  // 0: unknown
  Status CheckMemory(uint32_t device, const plugins::DeviceInfo& info, uint64_t limit,
                     uint64_t state_bytes) const;
  Status LoadWeights(uint32_t index, plugins::Device& device, const Source* source);
  Status MakePart(size_t index, std::span<plugins::Device* const> devices);
  Status CreateAdapters(Part& part);
  void CountAdapterBytes();
  Status MakeBuffers(Part& part);
  Status Bind(Part& part, const StepInputs& inputs);
  Status RunPart(size_t index);
  Status FinishPart(size_t index);

  std::shared_ptr<const Model> model_;
  InstanceOptions options_;
  uint32_t n_ctx_ = 0, n_vocab_ = 0, output_width_ = 0;
  bool is_encoder_ = false;
  mnw_id output_ = MNW_NONE;  // the logits or the embeddings
  uint64_t weight_bytes_ = 0, state_bytes_ = 0, adapter_bytes_ = 0;
  std::vector<std::string> device_names_, device_descriptions_;
  std::unique_ptr<graph::Placement> placement_;
  std::vector<mnw_state_group> groups_;
  struct Weights;
  std::vector<std::unique_ptr<Weights>> weights_;  // by device
  struct State;
  std::vector<std::unique_ptr<State>> states_;           // by device
  std::vector<StateLayer> state_layers_;                 // by device, then index
  std::vector<std::unique_ptr<DeviceMemory>> memories_;  // by device, null where it is the host's
  std::vector<std::unique_ptr<Part>> parts_;             // in order of execution
  // Boundaries and outputs in the host's memory, by value of the whole graph; and which of them are
  // read outside the device that makes them.
  std::vector<std::vector<std::byte>> shared_;
  std::vector<uint32_t> producers_;  // device, by value
  std::vector<bool> leaves_;
  std::unique_ptr<Completion> completion_;
  const StepInputs* inputs_ = nullptr;  // of the running step
};

}  // namespace minnow::model
