#include "model/instance.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <minnow/sdk/graph_view.hpp>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/process_state.h"
#include "graph/print.h"

namespace minnow::model {

// The buffers of a device with memory of its own, by value of the whole graph.
struct Instance::DeviceMemory {
  std::map<mnw_id, plugins::Buffer> buffers;
};

// One partition of the graph on its device.
struct Instance::Part {
  plugins::Device* device;
  DeviceMemory* memory;  // null: the host's
  const graph::Partition* partition;
  std::vector<void*> weight_of;      // by value id of the partition's graph
  plugins::AdaptersHandle adapters;  // null if the graph has no sites
  std::vector<uint32_t> sites;       // ascending
  plugins::PlanHandle plan;
  std::vector<mnw_binding> bindings;
};

// What one device holds of the source. The graph is all of its nodes, so that a weight is handed
// over once with all its uses, however many partitions there are.
struct Instance::Weights {
  graph::Partition all;
  std::vector<std::unique_ptr<std::byte[]>> made;  // that handles borrow, outside the mapping
  std::vector<plugins::WeightHandles> handles;
  std::vector<void*> handle_of;  // by value id of the whole graph
};

struct Instance::State {
  plugins::Device* device;
  plugins::StateHandle handle;
  std::vector<bool> has_group;  // by group: some layer of it is at home here
};

// Where a backend's thread reports that a step is done. A backend that calls `done` twice would
// pass the next step off as done, so runs take turns with two arguments, and a call with one that
// nobody waits for ends all further steps.
class Instance::Completion {
 public:
  // The argument of `done` for the next run.
  Result<void*> Expect() {
    const std::lock_guard lock(mutex_);
    if (breach_) {
      return Error(Code::kInternal, "the backend called done for a run that was over; restart");
    }
    expected_ = &turns_[expected_ == &turns_[0]];
    done_ = false;
    status_ = Status();
    return expected_;
  }
  // The run was refused: `done` must not come.
  void Forget() {
    const std::lock_guard lock(mutex_);
    breach_ |= done_;
    done_ = true;
  }
  static void Done(void* turn, int code, const mnw_error* error) {
    Turn* t = static_cast<Turn*>(turn);
    t->owner->Set(t, code == MNW_OK ? Status() : plugins::FromPlugin("step", code, error));
  }
  Status Wait() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return done_; });
    return status_;
  }

 private:
  struct Turn {
    Completion* owner;
  };

  void Set(const Turn* turn, Status status) {
    const std::lock_guard lock(mutex_);
    if (turn != expected_ || done_) {
      breach_ = true;
      return;
    }
    status_ = std::move(status);
    done_ = true;
    wake_.notify_one();
  }

  Turn turns_[2] = {{this}, {this}};
  std::mutex mutex_;
  std::condition_variable wake_;
  Turn* expected_ = nullptr;
  bool done_ = true, breach_ = false;
  Status status_;
};

Instance::Instance() : completion_(std::make_unique<Completion>()) {}

Instance::~Instance() = default;

Result<std::unique_ptr<Instance>> Instance::Create(std::shared_ptr<const Model> model,
                                                   std::span<plugins::Device* const> devices,
                                                   const InstanceOptions& options) {
  const auto create = [&]() -> Result<std::unique_ptr<Instance>> {
    MNW_TRY(model->source().CheckUnchanged());
    const bool adapters =
        options.adapter_slots > 0 && std::all_of(devices.begin(), devices.end(),
                                                 [](const auto* d) { return d->has_adapters(); });
    MNW_ASSIGN(graph::BuiltGraph built, model->BuildGraph(adapters));
    MNW_ASSIGN(std::unique_ptr<Instance> instance,
               Create(InstanceSource{std::move(built.graph), &model->source(), model->n_ctx()},
                      devices, options));
    MNW_TRY(model->source().CheckUnchanged());  // or what was read meanwhile may be anything
    instance->model_ = model;
    return instance;
  };
  auto result = create();
  if (!result.ok())
    return std::move(result).status().Annotate(fmt::format("model '{}'", model->path()));
  return result;
}

Result<std::unique_ptr<Instance>> Instance::Create(InstanceSource source,
                                                   std::span<plugins::Device* const> devices,
                                                   const InstanceOptions& options) {
  if (options.max_tokens == 0 || options.max_seqs == 0 || options.max_out == 0)
    return Error(Code::kInvalid, "max_tokens, max_seqs and max_out must be at least 1");
  std::unique_ptr<Instance> instance(new Instance());
  instance->options_ = options;
  instance->n_ctx_ = source.n_ctx;
  const Source* weights = source.weights;
  MNW_TRY(instance->Place(std::move(source), devices));
  MNW_TRY(instance->CreateStates(devices));
  for (uint32_t i = 0; i < devices.size(); ++i) {
    MNW_TRY(instance->LoadWeights(i, *devices[i], weights));
  }
  for (size_t i = 0; i < instance->placement_->partitions.size(); ++i) {
    MNW_TRY(instance->MakePart(i, devices));
  }
  return instance;
}

Status Instance::Place(InstanceSource source, std::span<plugins::Device* const> devices) {
  std::vector<graph::Claimer> claimers;
  // Refused claims are static strings of the plugins, which never unload.
  for (plugins::Device* device : devices) {
    if (!device->info().host_memory && !device->has_buffers()) {
      return Error(Code::kUnsupported,
                   "device '{}' has memory of its own, but its backend gives no buffers there",
                   device->info().id);
    }
    memories_.push_back(device->info().host_memory ? nullptr : std::make_unique<DeviceMemory>());
    device_names_.push_back(device->info().id);
    device_descriptions_.push_back(device->info().description);
    claimers.push_back(
        {device->info().id, [device](const mnw_graph* g, std::span<mnw_claim> out) -> Status {
           MNW_ASSIGN(const std::vector<mnw_claim> claims, device->Claim(*g));
           std::copy(claims.begin(), claims.end(), out.begin());
           return Status();
         }});
  }
  graph::PartitionOptions options;
  options.all_claims = options_.all_claims;
  options.strict = options_.strict_backend;
  MNW_ASSIGN(graph::Placement placement,
             graph::PartitionGraph(std::move(source.graph), claimers, options));
  placement_ = std::make_unique<graph::Placement>(std::move(placement));
  shared_.resize(graph().values().size());
  producers_.assign(graph().values().size(), MNW_NONE);
  leaves_.assign(graph().values().size(), false);
  return FindOutput();
}

Status Instance::FindOutput() {
  is_encoder_ = graph().info().is_encoder != 0;
  const char* name = is_encoder_ ? "embedding" : "logits";
  output_ = graph().Output(name);
  if (output_ == MNW_NONE) return Error(Code::kUnsupported, "the graph has no output '{}'", name);
  const mnw_value& output = graph().value(output_);
  const int64_t rows = is_encoder_ ? MNW_DIM(MNW_SYM_N_SEQS) : MNW_DIM(MNW_SYM_N_OUT);
  if (output.dim[0] < 1 || output.dim[1] != rows || output.dim[2] != 1 || output.dim[3] != 1) {
    return Error(Code::kUnsupported, "the output '{}' is {}, must be one row per {}", name,
                 graph::PrintShape(output), is_encoder_ ? "sequence" : "wanted position");
  }
  output_width_ = static_cast<uint32_t>(output.dim[0]);
  n_vocab_ = is_encoder_ ? graph().info().n_vocab : output_width_;
  if (is_encoder_) options_.max_tokens = std::max(options_.max_tokens, n_ctx_);
  return Status();
}

std::string Instance::PlacementText() const {
  std::vector<graph::Claimer> names;
  for (const std::string& name : device_names_) names.push_back({name, nullptr});
  return graph::PrintPlacement(*placement_, names);
}

uint64_t Instance::MemoryLimit(const plugins::Device& device) const {
  return options_.memory_bytes > 0 ? options_.memory_bytes : device.info().memory_total;
}

// At least this much will be taken on the device: its weights, the cache, and what its largest node
// reads and writes.
Status Instance::CheckMemory(uint32_t device, const plugins::DeviceInfo& info, uint64_t limit,
                             uint64_t state_bytes) const {
  const int64_t most[MNW_N_SYMBOLS] = {options_.max_tokens, options_.max_seqs, options_.max_out};
  const graph::Partition all = graph::CutBackend(*placement_, device);
  const graph::Graph& g = all.graph;
  const auto bytes_of = [&](mnw_id id) {
    return static_cast<uint64_t>(sdk::Bytes(g.value(id), most));
  };
  uint64_t weights = 0, largest = 0;
  for (const mnw_id id : g.weights()) weights += bytes_of(id);
  for (const mnw_node& node : g.nodes()) {
    uint64_t bytes = 0;
    const auto add = [&](mnw_id id) {
      const bool made = id != MNW_NONE &&
                        (g.value(id).kind == MNW_KIND_TEMP || g.value(id).kind == MNW_KIND_OUTPUT);
      if (made) bytes += bytes_of(id);
    };
    for (uint32_t i = 0; i < node.n_in; ++i) add(node.in[i]);
    for (uint32_t i = 0; i < node.n_out; ++i) add(node.out[i]);
    largest = std::max(largest, bytes);
  }
  const uint64_t needed = weights + state_bytes + largest;
  if (limit == 0 || needed <= limit) return Status();
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  return Error(
      Code::kPrecondition,
      "needs {:.1f} MiB on device '{}' ({:.1f} weights, {:.1f} cache of a context of {}, {:.1f} "
      "intermediate values) and may take {:.1f}; lower --ctx-size or --kv-tokens, or take "
      "a smaller model",
      mib(needed), info.id, mib(weights), mib(state_bytes), n_ctx_, mib(largest), mib(limit));
}

Status Instance::CreateStates(std::span<plugins::Device* const> devices) {
  groups_.assign(graph().state_groups().begin(), graph().state_groups().end());
  for (mnw_state_group& g : groups_) {
    g.page_tokens = kPageTokens;
    g.n_pages = 0;
  }
  states_.resize(devices.size());
  for (size_t i = 0; i < devices.size(); ++i) {
    std::vector<mnw_state_layer> layers = placement_->StateLayers(static_cast<uint32_t>(i));
    const bool home =
        std::any_of(layers.begin(), layers.end(), [](const auto& l) { return l.n_kv_heads > 0; });
    const uint64_t memory = MemoryLimit(*devices[i]);
    if (!home) {
      MNW_TRY(CheckMemory(static_cast<uint32_t>(i), devices[i]->info(), memory, 0));
      continue;
    }
    for (mnw_state_layer& l : layers) l.type = options_.kv_type;
    mnw_state_spec spec{};
    spec.size = sizeof spec;
    spec.n_groups = static_cast<uint32_t>(groups_.size());
    spec.n_layers = static_cast<uint32_t>(layers.size());
    spec.group_stride = sizeof(mnw_state_group);
    spec.layer_stride = sizeof(mnw_state_layer);
    spec.groups = groups_.data();
    spec.layers = layers.data();
    if (groups_[0].n_pages == 0) SizeGroups(*devices[i], spec);  // the first home decides
    const uint64_t bytes = devices[i]->StateBytes(spec);
    MNW_TRY(CheckMemory(static_cast<uint32_t>(i), devices[i]->info(), memory, bytes));
    MNW_ASSIGN(plugins::StateHandle handle, devices[i]->CreateState(spec));
    state_bytes_ += bytes;
    std::vector<bool> has_group(groups_.size());
    for (uint32_t index = 0; index < layers.size(); ++index) {
      const mnw_state_layer& l = layers[index];
      if (l.n_kv_heads == 0) continue;
      has_group[l.group] = true;
      state_layers_.push_back({index, l.group, l.n_kv_heads * l.k_dim, l.n_kv_heads * l.v_dim,
                               static_cast<uint32_t>(i)});
    }
    states_[i] =
        std::make_unique<State>(State{devices[i], std::move(handle), std::move(has_group)});
  }
  return Status();
}

// A quarter of the device's memory is for the state of a kind: pages of keys and values for
// sequences as long as the context, blocks of recurrent state for as many sequences as a step has.
void Instance::SizeGroups(plugins::Device& device, mnw_state_spec spec) {
  const auto pages_for = [&](uint32_t kind, uint64_t least, uint64_t most) {
    for (mnw_state_group& g : groups_) g.n_pages = g.kind == kind;
    const uint64_t page_bytes = std::max<uint64_t>(1, device.StateBytes(spec));
    const uint64_t memory = MemoryLimit(device);
    return memory > 0 ? std::clamp(memory / 4 / page_bytes, least, most) : most;
  };
  uint64_t pages =
      pages_for(MNW_STATE_KV, page_columns(), uint64_t{options_.max_seqs} * page_columns());
  if (options_.kv_tokens > 0) pages = (options_.kv_tokens + kPageTokens - 1) / kPageTokens;
  const uint64_t blocks = pages_for(MNW_STATE_RECURRENT, 1, options_.max_seqs);
  for (mnw_state_group& g : groups_) {
    g.n_pages = static_cast<uint32_t>(
        std::min<uint64_t>(g.kind == MNW_STATE_RECURRENT ? blocks : pages, 1u << 26));
  }
}

Status Instance::MakePart(size_t index, std::span<plugins::Device* const> devices) {
  const graph::Partition& partition = placement_->partitions[index];
  auto part = std::make_unique<Part>();
  part->device = devices[partition.backend];
  part->partition = &partition;
  for (const mnw_id id : partition.whole) {
    part->weight_of.push_back(weights_[partition.backend]->handle_of[id]);
  }
  MNW_TRY(CreateAdapters(*part));
  part->memory = memories_[partition.backend].get();
  MNW_TRY(MakeBuffers(*part));
  mnw_plan_request request{};
  request.size = sizeof request;
  request.graph = partition.graph.view();
  request.weights = part->weight_of.data();
  request.state = states_[partition.backend] ? states_[partition.backend]->handle.get() : nullptr;
  request.adapters = part->adapters.get();
  request.max[MNW_SYM_N_TOKENS] = options_.max_tokens;
  request.max[MNW_SYM_N_SEQS] = options_.max_seqs;
  request.max[MNW_SYM_N_OUT] = options_.max_out;
  MNW_ASSIGN(part->plan, part->device->Plan(request));
  parts_.push_back(std::move(part));
  return Status();
}

// Also finds out which of the values made so far have to travel.
Status Instance::MakeBuffers(Part& part) {
  const graph::Graph& g = part.partition->graph;
  const int64_t most[MNW_N_SYMBOLS] = {options_.max_tokens, options_.max_seqs, options_.max_out};
  const auto reserve = [&](mnw_id id) -> Status {
    const mnw_id whole = part.partition->whole[id];
    if (!part.memory || part.memory->buffers.contains(whole)) return Status();
    const int64_t n_bytes = std::max<int64_t>(1, sdk::Bytes(g.value(id), most));
    MNW_ASSIGN(plugins::Buffer buffer, part.device->CreateBuffer(static_cast<uint64_t>(n_bytes)));
    part.memory->buffers.emplace(whole, std::move(buffer));
    return Status();
  };
  for (const mnw_id id : g.inputs()) {
    MNW_TRY(reserve(id));
    const mnw_id whole = part.partition->whole[id];
    if (producers_[whole] != part.partition->backend) leaves_[whole] = true;
  }
  for (const mnw_id id : g.outputs()) {
    MNW_TRY(reserve(id));
    const mnw_id whole = part.partition->whole[id];
    producers_[whole] = part.partition->backend;
    if (whole == output_) leaves_[whole] = true;
  }
  return Status();
}

Status Instance::LoadWeights(uint32_t index, plugins::Device& device, const Source* source) {
  std::vector<void*> none(graph().values().size(), nullptr);
  weights_.emplace_back(
      new Weights{graph::CutBackend(*placement_, index), {}, {}, std::move(none)});
  Weights& weights = *weights_.back();
  if (!source) return Status();
  const graph::Graph& g = weights.all.graph;
  const sdk::GraphView view(*g.view());
  std::vector<uint8_t> handed(g.values().size(), 0);
  const ProcessState before;  // once for all of them: a model has hundreds
  for (const mnw_node& node : g.nodes()) {
    std::vector<mnw_weight_source> sources;
    std::vector<std::unique_ptr<std::byte[]>> made;
    for (uint32_t i = 0; i < node.n_in; ++i) {
      const mnw_id id = node.in[i] == MNW_NONE ? MNW_NONE : view.Base(node.in[i]);
      if (id == MNW_NONE || g.value(id).kind != MNW_KIND_WEIGHT) continue;
      if (std::exchange(handed[id], uint8_t{1})) continue;
      const graph::TensorInfo* tensor = source->FindTensor(g.value(id).name);
      if (!tensor)
        return Error(Code::kInternal, "tensor '{}' is not in the file", g.value(id).name);
      MNW_ASSIGN(TensorBytes data, source->Read(*tensor));
      sources.push_back({sizeof(mnw_weight_source), id, data.bytes.data(), data.bytes.size()});
      made.push_back(std::move(data.made));
    }
    if (sources.empty()) continue;
    MNW_ASSIGN(plugins::WeightHandles handles, device.LoadWeights(*g.view(), sources));
    for (size_t i = 0; i < sources.size(); ++i) {
      const mnw_weight& w = handles.weights()[i];
      weights.handle_of[weights.all.whole[sources[i].value]] = w.handle;
      weight_bytes_ += w.n_bytes;
      if (w.residency != MNW_OWNED) {
        if (made[i]) weights.made.push_back(std::move(made[i]));
      } else if (!made[i]) {
        source->Release({static_cast<const std::byte*>(sources[i].data), sources[i].n_bytes});
      }
    }
    weights.handles.push_back(std::move(handles));
  }
  if (const std::string changed = before.Restore(); !changed.empty()) {
    LogWarning("{}: load_weights changed {}; put back", device.info().id, changed);
  }
  return Status();
}

Status Instance::CreateAdapters(Part& part) {
  const graph::Graph& g = part.partition->graph;
  for (const mnw_node& node : g.nodes()) {
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t) { part.sites.push_back(site); });
  }
  if (part.sites.empty()) return Status();
  std::sort(part.sites.begin(), part.sites.end());
  MNW_ASSIGN(part.adapters,
             part.device->CreateAdapters(*g.view(), options_.adapter_slots, options_.adapter_rank));
  return Status();
}

Status Instance::SetAdapter(uint32_t slot, std::span<const AdapterDelta> deltas) {
  const auto set = [&]() -> Status {
    for (const auto& part : parts_) {
      for (const AdapterDelta& d : deltas) {
        if (!std::binary_search(part->sites.begin(), part->sites.end(), d.site)) continue;
        MNW_TRY(part->device->SetAdapter(part->adapters.get(), slot, d.site, d.rank, d.a, d.b,
                                         d.scale));
      }
    }
    return Status();
  };
  Status status = set();
  if (!status.ok()) {
    if (Status cleared = ClearAdapter(slot); !cleared.ok()) return cleared;
  }
  CountAdapterBytes();
  return status;
}

Status Instance::ClearAdapter(uint32_t slot) {
  Status status;
  for (const auto& part : parts_) {
    for (const uint32_t site : part->sites) {
      Status s = part->device->SetAdapter(part->adapters.get(), slot, site, 0, {}, {}, 0);
      if (status.ok()) status = std::move(s);
    }
  }
  CountAdapterBytes();
  return status;
}

void Instance::CountAdapterBytes() {
  adapter_bytes_ = 0;
  for (const auto& part : parts_) {
    if (part->adapters) adapter_bytes_ += part->device->AdaptersBytes(part->adapters.get());
  }
}

Status Instance::Bind(Part& part, const StepInputs& in) {
  const graph::Graph& g = part.partition->graph;
  const int64_t symbols[MNW_N_SYMBOLS] = {static_cast<int64_t>(in.tokens.size()),
                                          static_cast<int64_t>(in.seq_len.size()),
                                          static_cast<int64_t>(in.out_rows.size())};
  // A boundary or an output: memory of the whole graph's value, grown to what this step needs.
  const auto shared = [&](mnw_id id) -> void* {
    std::vector<std::byte>& memory = shared_[part.partition->whole[id]];
    const size_t n = std::max<size_t>(1, static_cast<size_t>(sdk::Bytes(g.value(id), symbols)));
    if (memory.size() < n) memory.resize(n);
    return memory.data();
  };
  // A step without logits, say, has no out rows, but something is bound to them all the same.
  static constexpr int32_t kNothing = 0;
  const auto data = [](const std::vector<int32_t>& v) { return v.empty() ? &kNothing : v.data(); };
  const auto input = [&](const mnw_value& v, mnw_id id) -> const void* {
    switch (v.role) {
      case MNW_INPUT_TOKENS:
        return data(in.tokens);
      case MNW_INPUT_POSITIONS:
        return data(in.positions);
      case MNW_INPUT_SEQ:
        return data(in.seq);
      case MNW_INPUT_PARENT:
        return data(in.parent);
      case MNW_INPUT_SEQ_LEN:
        return data(in.seq_len);
      case MNW_INPUT_OUT_ROWS:
        return data(in.out_rows);
      case MNW_INPUT_ADAPTER:
        return data(in.adapter);
      case MNW_INPUT_OUT_ADAPTER:
        return data(in.out_adapter);
      case MNW_INPUT_PAGES:
        return data(in.pages[v.index]);
      case MNW_INPUT_SLOTS:
        return data(in.slots[v.index]);
      case MNW_INPUT_BOUNDARY:
        return shared(id);
    }
    return nullptr;
  };
  part.bindings.clear();
  for (const mnw_id id : g.inputs()) {
    const void* bound = input(g.value(id), id);
    if (!bound) {
      return Error(Code::kInternal, "input role {} of the graph is none the host fills",
                   g.value(id).role);
    }
    const mnw_id whole = part.partition->whole[id];
    if (!part.memory) {
      part.bindings.push_back({id, 0, const_cast<void*>(bound)});
      continue;
    }
    const plugins::Buffer& buffer = part.memory->buffers.at(whole);
    const auto n = static_cast<uint64_t>(sdk::Bytes(g.value(id), symbols));
    const bool is_there = producers_[whole] == part.partition->backend;
    if (n > 0 && !is_there) MNW_TRY(part.device->WriteBuffer(buffer, bound, n));
    part.bindings.push_back({id, 0, buffer.address});
  }
  for (const mnw_id id : g.outputs()) {
    void* bound = shared(id);
    if (part.memory) bound = part.memory->buffers.at(part.partition->whole[id]).address;
    part.bindings.push_back({id, 0, bound});
  }
  return Status();
}

Status Instance::RunPart(size_t index) {
  Part& part = *parts_[index];
  MNW_TRY(Bind(part, *inputs_));
  mnw_run_args args{};
  args.size = sizeof args;
  args.n_bindings = static_cast<uint32_t>(part.bindings.size());
  args.symbols[MNW_SYM_N_TOKENS] = static_cast<int64_t>(inputs_->tokens.size());
  args.symbols[MNW_SYM_N_SEQS] = static_cast<int64_t>(inputs_->seq_len.size());
  args.symbols[MNW_SYM_N_OUT] = static_cast<int64_t>(inputs_->out_rows.size());
  args.bindings = part.bindings.data();
  args.done = Completion::Done;
  MNW_ASSIGN(args.done_arg, completion_->Expect());
  Status status = part.device->Run(part.plan.get(), args);
  if (!status.ok()) completion_->Forget();
  return status;
}

// Waits for the part that runs and brings home what is read elsewhere.
Status Instance::FinishPart(size_t index) {
  const Part& part = *parts_[index];
  if (Status status = completion_->Wait(); !status.ok()) {
    part.device->NoteLoss(status);
    return std::move(status).Annotate(part.device->info().id);
  }
  if (!part.memory) return Status();
  const graph::Graph& g = part.partition->graph;
  const int64_t symbols[MNW_N_SYMBOLS] = {static_cast<int64_t>(inputs_->tokens.size()),
                                          static_cast<int64_t>(inputs_->seq_len.size()),
                                          static_cast<int64_t>(inputs_->out_rows.size())};
  for (const mnw_id id : g.outputs()) {
    const mnw_id whole = part.partition->whole[id];
    const auto n = static_cast<uint64_t>(sdk::Bytes(g.value(id), symbols));
    if (n == 0 || !leaves_[whole]) continue;
    MNW_TRY(part.device->ReadBuffer(part.memory->buffers.at(whole), shared_[whole].data(), n));
  }
  return Status();
}

Status Instance::Start(const StepInputs& inputs) {
  inputs_ = &inputs;
  return RunPart(0);
}

Result<std::span<const float>> Instance::Wait() {
  Status status = FinishPart(0);
  for (size_t i = 1; i < parts_.size() && status.ok(); ++i) {
    status = RunPart(i);
    if (status.ok()) status = FinishPart(i);
  }
  const size_t rows = is_encoder_ ? inputs_->seq_len.size() : inputs_->out_rows.size();
  inputs_ = nullptr;
  if (!status.ok()) return status;
  return std::span(reinterpret_cast<const float*>(shared_[output_].data()), rows * output_width_);
}

Status Instance::EditPages(std::span<const mnw_page_edit> edits) {
  for (const auto& state : states_) {
    if (state) MNW_TRY(state->device->EditState(state->handle.get(), edits));
  }
  return Status();
}

Status Instance::Commit(uint32_t group, std::span<const int32_t> rows,
                        std::span<const int32_t> slots) {
  for (const auto& state : states_) {
    if (!state || !state->has_group[group]) continue;
    MNW_TRY(state->device->CommitState(state->handle.get(), group, rows, slots));
  }
  return Status();
}

Status Instance::ExportPage(const StateLayer& layer, int32_t page, std::span<float> out) {
  const State& state = *states_[layer.device];
  return state.device->ExportPage(state.handle.get(), layer.index, static_cast<uint32_t>(page),
                                  out);
}

Status Instance::ImportPage(const StateLayer& layer, int32_t page, std::span<const float> in) {
  const State& state = *states_[layer.device];
  return state.device->ImportPage(state.handle.get(), layer.index, static_cast<uint32_t>(page), in);
}

bool Instance::can_copy_pages() const {
  return std::all_of(states_.begin(), states_.end(),
                     [](const auto& state) { return !state || state->device->edits_state(); });
}

bool Instance::can_speculate() const {
  const auto commits = [](const auto& state) { return !state || state->device->commits_state(); };
  const auto repeats = [](const auto& part) { return part->device->info().repeatability == 'B'; };
  for (const mnw_state_group& g : groups_) {
    if (g.kind == MNW_STATE_RECURRENT) return false;
  }
  return !is_encoder_ && std::all_of(states_.begin(), states_.end(), commits) &&
         std::all_of(parts_.begin(), parts_.end(), repeats);
}

}  // namespace minnow::model
