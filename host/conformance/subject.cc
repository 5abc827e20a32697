#include "conformance/subject.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <minnow/sdk/graph_view.hpp>
#include <thread>

#include "plugins/device.h"

namespace minnow::conformance {

void Trace::Say(std::string_view where) {
  size_t n = 0;
  const auto append = [&](std::string_view part) {
    const size_t some = std::min(part.size(), text_.size() - 1 - n);
    std::memcpy(text_.data() + n, part.data(), some);
    n += some;
  };
  if (!prefix_.empty()) {
    append(prefix_);
    append(": ");
  }
  append(where);
  text_[n] = '\0';
}

void Subject::Enter(const char* entry) const {
  trace->Say(entry);
  if (allocations) allocations->enable(true);
}

void Subject::Leave() const {
  if (allocations) allocations->enable(false);
  trace->Say("the host's part");
}

Status Subject::Failure(const char* entry, int code, const mnw_error& error) {
  Status status = plugins::FromPlugin(fmt::format("{}()", entry), code, &error);
  if (std::memchr(error.message, '\0', sizeof error.message) == nullptr) {
    return Error(Code::kInternal, "{}() wrote an error message without its terminating NUL", entry);
  }
  if (error.message[0] == '\0') {
    return Error(Code::kInternal, "{}() failed with code {} and wrote no message", entry, code);
  }
  return status;
}

namespace {

constexpr size_t kNewFields = 40;    // of a newer host's structs
constexpr std::byte kUnknown{0xa7};  // what they hold

size_t SizeFor(HostAge age, size_t mine, size_t older) {
  return age == HostAge::kNewer ? mine + kNewFields : age == HostAge::kOlder ? older : mine;
}

// The bytes of `value`, a struct of which an older host knows the first `older` bytes.
template <class T>
Guarded HostStruct(T value, HostAge age, size_t older = sizeof(T)) {
  value.size = static_cast<uint32_t>(SizeFor(age, sizeof(T), older));
  Bytes bytes(value.size, kUnknown);
  std::memcpy(bytes.data(), &value, std::min(sizeof(T), bytes.size()));
  return Guarded(bytes);
}

// An array of growing structs. Bytes between them are no zeros either.
template <class T>
Guarded HostArray(std::span<const T> values, HostAge age, uint32_t* stride) {
  *stride = static_cast<uint32_t>(SizeFor(age, sizeof(T), sizeof(T)));
  Bytes bytes(values.size() * *stride, kUnknown);
  for (size_t i = 0; i < values.size(); ++i) {
    T value = values[i];
    value.size = *stride;
    std::memcpy(bytes.data() + i * *stride, &value, sizeof value);
  }
  return Guarded(bytes);
}

// How many bytes of a node's parameters a host passes: an older one lacks the fields at the end
// that are zero, a newer one has more.
size_t ParamsSize(const mnw_node& node, HostAge age) {
  size_t n = node.params_size;
  if (age == HostAge::kNewer) return n ? n + kNewFields : 0;
  if (age != HostAge::kOlder) return n;
  const auto* p = static_cast<const std::byte*>(node.params);
  const auto zero = [p](size_t at) {
    return std::all_of(p + at, p + at + 4, [](std::byte b) { return b == std::byte{0}; });
  };
  while (n >= 8 && zero(n - 4)) n -= 4;
  return n;
}

}  // namespace

HostGraph::HostGraph(const graph::Graph& graph, HostAge age) {
  std::vector<mnw_node> nodes(graph.nodes().begin(), graph.nodes().end());
  for (mnw_node& node : nodes) {
    const size_t size = ParamsSize(node, age);
    if (size == 0) continue;
    Bytes bytes(size, kUnknown);
    std::memcpy(bytes.data(), node.params, std::min<size_t>(size, node.params_size));
    params_.emplace_back(bytes);
    node.params = params_.back().data();
    node.params_size = static_cast<uint32_t>(size);
  }
  mnw_graph g = *graph.view();
  values_ = std::make_unique<Guarded>(HostArray(graph.values(), age, &g.value_stride));
  nodes_ =
      std::make_unique<Guarded>(HostArray(std::span<const mnw_node>(nodes), age, &g.node_stride));
  g.values = values_->data();
  g.nodes = nodes_->data();
  graph_ = std::make_unique<Guarded>(HostStruct(g, age));
  for (Guarded& p : params_) p.MakeReadOnly();
  values_->MakeReadOnly();
  nodes_->MakeReadOnly();
  graph_->MakeReadOnly();
}

const mnw_graph* HostGraph::view() const {
  return reinterpret_cast<const mnw_graph*>(graph_->data());
}

Context::Context(const Subject& subject)
    : subject_(subject),
      host_(HostStruct(*subject.host, subject.age, offsetof(mnw_host, extension))),
      options_(
          HostStruct(mnw_context_options{0, subject.n_threads,
                                         subject.config.empty() ? nullptr : subject.config.c_str()},
                     subject.config.empty() ? subject.age : HostAge::kSame,
                     offsetof(mnw_context_options, config))) {}

Result<std::unique_ptr<Context>> Context::Open(const Subject& s) {
  std::unique_ptr<Context> c(new Context(s));
  MNW_TRY(s.Call("open", [&](mnw_error* e) {
    return s.table->open(s.device, reinterpret_cast<const mnw_host*>(c->host_.data()),
                         reinterpret_cast<const mnw_context_options*>(c->options_.data()),
                         &c->context_, e);
  }));
  if (!c->context_) return Error(Code::kInternal, "open() succeeded and gave no context");
  c->options_.TakeAway();  // only the host table outlives the call
  return c;
}

Context::~Context() {
  if (context_) subject_.Do("close", [&] { subject_.table->close(context_); });
}

Result<std::string> Context::Claim(const HostGraph& graph, uint32_t n_nodes) const {
  // A zeroed claim is "not claimed, no reason": so that an entry left alone shows.
  Guarded memory(Bytes(n_nodes * sizeof(mnw_claim)));
  auto* claims = reinterpret_cast<mnw_claim*>(memory.data());
  MNW_TRY(subject_.Call("claim", [&](mnw_error* e) {
    return subject_.table->claim(context_, graph.view(), claims, e);
  }));
  if (const std::string at = memory.Breach(); !at.empty()) {
    return Error(Code::kInternal, "claim() wrote beyond its claims, {}", at);
  }
  for (uint32_t i = 0; i < n_nodes; ++i) {
    const mnw_claim& c = claims[i];
    if (c.group == 0) {
      if (!c.reason || !*c.reason) {
        return Error(Code::kInternal, "node {} is not claimed, and no reason is given", i);
      }
      return std::string(c.reason);
    }
    if (!(c.cost >= 0) || !std::isfinite(c.cost)) {
      return Error(Code::kInternal, "the claim on node {} costs {}", i, c.cost);
    }
  }
  return std::string();
}

// Counts the calls of mnw_done_fn. Lives as long as the program, for those that come too late.
class Program::Completion {
 public:
  // What is to be kept at the moment of `done`.
  void Begin(std::vector<const Guarded*> outputs) {
    const std::lock_guard lock(mutex_);
    count_ = 0;
    outputs_ = std::move(outputs);
    // Done may be called while allocations are made to fail: there must be none of ours.
    kept_.clear();
    for (const Guarded* g : outputs_) kept_.emplace_back(g->bytes().size());
  }
  static void Done(void* self, int code, const mnw_error* error) {
    static_cast<Completion*>(self)->Set(code, error);
  }
  // False if nothing came in time.
  bool Wait() {
    std::unique_lock lock(mutex_);
    return wake_.wait_for(lock, kLimit, [this] { return count_ > 0; });
  }
  int count() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  Status status() const {
    const std::lock_guard lock(mutex_);
    return code_ == MNW_OK ? Status() : plugins::FromPlugin("the step", code_, &error_);
  }
  std::vector<Bytes> kept() const {
    const std::lock_guard lock(mutex_);
    return kept_;
  }

 private:
  static constexpr std::chrono::seconds kLimit{5};

  void Set(int code, const mnw_error* error) {
    const std::lock_guard lock(mutex_);
    if (count_++ == 0) {
      code_ = code;
      error_ = error ? *error : mnw_error{};
      for (size_t i = 0; i < outputs_.size(); ++i) {
        std::copy_n(outputs_[i]->data(), kept_[i].size(), kept_[i].begin());
      }
    }
    wake_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  int count_ = 0, code_ = MNW_OK;
  mnw_error error_{};
  std::vector<const Guarded*> outputs_;
  std::vector<Bytes> kept_;
};

Program::Program(Context& context, const Sketch& sketch)
    : context_(context),
      sketch_(sketch),
      graph_(sketch.graph(), context.subject().age),
      completion_(std::make_unique<Completion>()) {}

Result<std::unique_ptr<Program>> Program::Make(Context& context, const Sketch& sketch,
                                               const Symbols& max) {
  std::unique_ptr<Program> p(new Program(context, sketch));
  MNW_TRY(p->LoadWeights());
  if (sketch.has_state()) MNW_TRY(p->MakeState());
  if (!sketch.deltas().empty()) MNW_TRY(p->MakeAdapters());
  MNW_TRY(p->MakePlan(max));
  return p;
}

Program::~Program() {
  if (plan_) subject().Do("free_plan", [&] { table().free_plan(plan_); });
  if (adapters_) subject().Do("adapters_free", [&] { table().adapters_free(adapters_); });
  if (state_) subject().Do("state_free", [&] { table().state_free(state_); });
  for (const auto& [id, weight] : weights_) {
    subject().Do("free_weights", [&] { table().free_weights(context_.get(), &weight, 1); });
  }
}

// As the host does it: node by node, each weight once, all that a node uses in one call.
Status Program::LoadWeights() {
  const graph::Graph& g = sketch_.graph();
  for (const mnw_node& node : g.nodes()) {
    std::vector<mnw_weight_source> sources;
    for (uint32_t i = 0; i < node.n_in; ++i) {
      const mnw_id id = node.in[i];
      if (id == MNW_NONE || g.value(id).kind != MNW_KIND_WEIGHT || sources_.contains(id)) continue;
      Guarded& bytes = sources_.emplace(id, Guarded(sketch_.weight(id))).first->second;
      bytes.MakeReadOnly();
      sources.push_back({sizeof(mnw_weight_source), id, bytes.data(), bytes.bytes().size()});
    }
    if (sources.empty()) continue;
    uint32_t stride;
    const Guarded array =
        HostArray(std::span<const mnw_weight_source>(sources), subject().age, &stride);
    std::vector<mnw_weight> loaded(sources.size());
    MNW_TRY(subject().Call("load_weights", [&](mnw_error* e) {
      return table().load_weights(context_.get(), graph_.view(),
                                  reinterpret_cast<const mnw_weight_source*>(array.data()),
                                  static_cast<uint32_t>(sources.size()), stride, loaded.data(), e);
    }));
    for (size_t i = 0; i < sources.size(); ++i) {
      weights_.emplace_back(sources[i].value, loaded[i]);
      if (loaded[i].residency != MNW_BORROWED && loaded[i].residency != MNW_OWNED) {
        return Error(Code::kInternal, "load_weights() gave a weight of residency {}",
                     loaded[i].residency);
      }
      // The host drops its pages now.
      if (loaded[i].residency == MNW_OWNED) sources_.at(sources[i].value).TakeAway();
    }
  }
  return Status();
}

Status Program::MakeState() {
  if (!MNW_HAS(&table(), mnw_backend, state_bytes) || !table().state_create) {
    return Error(Code::kInternal, "it claims an op on a state, but has no state_create");
  }
  mnw_state_spec spec = sketch_.state_spec();
  const std::span groups(static_cast<const mnw_state_group*>(spec.groups), spec.n_groups);
  groups_ = std::make_unique<Guarded>(HostArray(groups, subject().age, &spec.group_stride));
  layers_ = std::make_unique<Guarded>(
      HostArray(sketch_.state_layers(), subject().age, &spec.layer_stride));
  spec.groups = groups_->data();
  spec.layers = layers_->data();
  spec_ = std::make_unique<Guarded>(HostStruct(spec, subject().age));
  const auto* in = reinterpret_cast<const mnw_state_spec*>(spec_->data());
  return subject().Call("state_create", [&](mnw_error* e) {
    return table().state_create(context_.get(), in, &state_, e);
  });
}

Status Program::MakeAdapters() {
  if (!MNW_HAS(&table(), mnw_backend, adapters_bytes) || !table().adapters_create) {
    return Error(Code::kInternal, "it claims an op with adapters, but has no adapters_create");
  }
  constexpr uint32_t kSlots = 4, kMaxRank = 32;
  MNW_TRY(subject().Call("adapters_create", [&](mnw_error* e) {
    return table().adapters_create(context_.get(), graph_.view(), kSlots, kMaxRank, &adapters_, e);
  }));
  if (!adapters_) return Error(Code::kInternal, "adapters_create() succeeded and gave no pool");
  for (const SketchDelta& d : sketch_.deltas()) {
    // Copied by the call: gone after it.
    Guarded a(ToBytes(d.a)), b(ToBytes(d.b));
    a.MakeReadOnly();
    b.MakeReadOnly();
    MNW_TRY(subject().Call("adapters_set", [&](mnw_error* e) {
      return table().adapters_set(adapters_, d.slot, d.site, d.rank,
                                  reinterpret_cast<const float*>(a.data()),
                                  reinterpret_cast<const float*>(b.data()), 0.5f, e);
    }));
  }
  return Status();
}

Status Program::MakePlan(const Symbols& max) {
  std::vector<void*> handles(sketch_.graph().values().size());
  for (const auto& [id, weight] : weights_) handles[id] = weight.handle;
  mnw_plan_request request{};
  request.graph = graph_.view();
  request.weights = handles.data();
  request.state = state_;
  request.adapters = adapters_;
  std::copy(max.begin(), max.end(), request.max);
  Guarded in = HostStruct(request, subject().age);
  MNW_TRY(subject().Call("plan", [&](mnw_error* e) {
    return table().plan(context_.get(), reinterpret_cast<const mnw_plan_request*>(in.data()),
                        &plan_, e);
  }));
  return plan_ ? Status() : Error(Code::kInternal, "plan() succeeded and gave no plan");
}

// All that is bound for one step.
class Program::Buffers {
 public:
  Buffers(const Sketch& sketch, const Step& step) : step_(step), graph_(sketch.graph()) {
    for (const mnw_id id : graph_.inputs()) {
      const auto it = step.inputs.find(id);
      buffers_.emplace(id, Guarded(it == step.inputs.end() ? Bytes() : it->second));
    }
    for (const mnw_id id : graph_.outputs()) {
      const auto n = static_cast<size_t>(sdk::Bytes(graph_.value(id), step.symbols));
      buffers_.emplace(id, Guarded(n));
    }
    for (const auto& [id, buffer] : buffers_) bindings_.push_back({id, 0, buffer.data()});
  }

  std::span<const mnw_binding> bindings() const { return bindings_; }
  std::vector<const Guarded*> outputs() const {
    std::vector<const Guarded*> outputs;
    for (const mnw_id id : graph_.outputs()) outputs.push_back(&buffers_.at(id));
    return outputs;
  }

  // Nothing but the outputs was written.
  Status Check() const {
    for (const auto& [id, buffer] : buffers_) {
      if (const std::string at = buffer.Breach(); !at.empty()) {
        return Error(Code::kInternal, "run() wrote outside of {} %{}, {}", Kind(id), id, at);
      }
    }
    for (const auto& [id, bytes] : step_.inputs) {
      const auto now = buffers_.at(id).bytes();
      if (!std::equal(bytes.begin(), bytes.end(), now.begin(), now.end())) {
        return Error(Code::kInternal, "run() changed input %{}", id);
      }
    }
    return Status();
  }

 private:
  const char* Kind(mnw_id id) const {
    return graph_.value(id).kind == MNW_KIND_OUTPUT ? "output" : "input";
  }

  const Step& step_;
  const graph::Graph& graph_;
  std::map<mnw_id, Guarded> buffers_;
  std::vector<mnw_binding> bindings_;
};

Result<Outputs> Program::Run(const Step& step) { return RunStep(step, false); }
Result<Outputs> Program::RunAndLinger(const Step& step) { return RunStep(step, true); }

Result<Outputs> Program::RunStep(const Step& step, bool linger) {
  MNW_TRY(Edit(step.edits));
  const Buffers buffers(sketch_, step);
  const Guarded bindings(std::as_bytes(buffers.bindings()));
  mnw_run_args args{};
  args.n_bindings = static_cast<uint32_t>(buffers.bindings().size());
  std::copy(step.symbols.begin(), step.symbols.end(), args.symbols);
  args.bindings = reinterpret_cast<const mnw_binding*>(bindings.data());
  args.done = Completion::Done;
  args.done_arg = completion_.get();
  Guarded in = HostStruct(args, subject().age);
  completion_->Begin(buffers.outputs());
  Status status = subject().Call("run", [&](mnw_error* e) {
    return table().run(plan_, reinterpret_cast<const mnw_run_args*>(in.data()), e);
  });
  in.TakeAway();  // the bindings live until done, the arguments only as long as the call
  if (!status.ok()) {
    if (completion_->count() == 0) return status;
    return Error(Code::kInternal, "{}; and yet `done` was called", status.message());
  }
  subject().trace->Say("waiting for `done`");
  if (!completion_->Wait()) return Error(Code::kInternal, "`done` is not called within 5 s");
  if (linger) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  if (completion_->count() > 1) {
    return Error(Code::kInternal, "`done` was called {} times", completion_->count());
  }
  MNW_TRY(completion_->status());
  MNW_TRY(buffers.Check());
  Outputs outputs = completion_->kept();
  const std::vector<const Guarded*> now = buffers.outputs();
  for (size_t i = 0; i < now.size(); ++i) {
    if (!std::equal(outputs[i].begin(), outputs[i].end(), now[i]->bytes().begin())) {
      return Error(Code::kInternal, "output {} was written after `done`", i);
    }
  }
  for (const Commit& c : step.commits) {
    MNW_TRY(subject().Call("state_commit", [&](mnw_error* e) {
      return table().state_commit(state_, c.group, c.rows.data(), c.slots.data(),
                                  static_cast<uint32_t>(c.rows.size()), e);
    }));
  }
  return outputs;
}

Status Program::Edit(std::span<const mnw_page_edit> edits) {
  if (edits.empty()) return Status();
  return subject().Call("state_edit", [&](mnw_error* e) {
    return table().state_edit(state_, edits.data(), static_cast<uint32_t>(edits.size()), e);
  });
}

size_t Program::PageFloats(uint32_t layer) const {
  const mnw_state_layer& l = sketch_.state_layers()[layer];
  return size_t{kPageTokens} * l.n_kv_heads * (l.k_dim + l.v_dim);
}

Result<std::vector<float>> Program::Export(uint32_t layer, uint32_t page) {
  const Guarded out(PageFloats(layer) * sizeof(float));
  auto* floats = reinterpret_cast<float*>(out.data());
  MNW_TRY(subject().Call("state_export", [&](mnw_error* e) {
    return table().state_export(state_, layer, page, floats, e);
  }));
  if (const std::string at = out.Breach(); !at.empty()) {
    return Error(Code::kInternal, "state_export() wrote beyond the page, {}", at);
  }
  return std::vector<float>(floats, floats + PageFloats(layer));
}

Status Program::Import(uint32_t layer, uint32_t page, std::span<const float> values) {
  const Guarded in(std::as_bytes(values));
  return subject().Call("state_import", [&](mnw_error* e) {
    return table().state_import(state_, layer, page, reinterpret_cast<const float*>(in.data()), e);
  });
}

}  // namespace minnow::conformance
