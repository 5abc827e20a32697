#include "conformance/program.h"

#include <algorithm>
#include <chrono>
#include <minnow/sdk/graph_view.hpp>
#include <thread>

#include "conformance/buffers.h"

namespace minnow::conformance {

Program::Program(Context& context, const Material& material)
    : context_(context),
      material_(material),
      graph_(*material.graph.view(), context.subject().age) {}

Result<std::unique_ptr<Program>> Program::Make(Context& context, const Sketch& sketch,
                                               const Symbols& max) {
  std::unique_ptr<State> state;
  if (sketch.has_state()) {
    MNW_ASSIGN(state, State::Make(context, sketch.state_spec()));
  }
  const Material material{sketch.graph(), sketch.weights(), sketch.deltas()};
  MNW_ASSIGN(auto program, Make(context, material, state.get(), max));
  program->own_state_ = std::move(state);
  return program;
}

Result<std::unique_ptr<Program>> Program::Make(Context& context, const Material& material,
                                               State* state, const Symbols& max) {
  std::unique_ptr<Program> p(new Program(context, material));
  p->state_ = state;
  MNW_TRY(p->LoadWeights());
  if (!material.deltas.empty()) MNW_TRY(p->MakeAdapters());
  MNW_TRY(p->MakePlan(max));
  return p;
}

Program::~Program() {
  if (plan_) subject().Do("free_plan", [&] { table().free_plan(plan_); });
  if (adapters_) subject().Do("adapters_free", [&] { table().adapters_free(adapters_); });
  for (const auto& [id, weight] : weights_) {
    subject().Do("free_weights", [&] { table().free_weights(context_.get(), &weight, 1); });
  }
}

// As the host does it: node by node, each weight once, all that a node uses in one call.
Status Program::LoadWeights() {
  const graph::Graph& g = material_.graph;
  for (const mnw_node& node : g.nodes()) {
    std::vector<mnw_weight_source> sources;
    for (uint32_t i = 0; i < node.n_in; ++i) {
      const mnw_id id = node.in[i];
      if (id == MNW_NONE || g.value(id).kind != MNW_KIND_WEIGHT || sources_.contains(id)) continue;
      Guarded& bytes = sources_.emplace(id, Guarded(material_.weights.at(id))).first->second;
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

Status Program::MakeAdapters() {
  if (!MNW_HAS(&table(), mnw_backend, adapters_bytes) || !table().adapters_create) {
    return Error(Code::kInternal, "it claims an op with adapters, but has no adapters_create");
  }
  constexpr uint32_t kSlots = 4, kMaxRank = 32;
  MNW_TRY(subject().Call("adapters_create", [&](mnw_error* e) {
    return table().adapters_create(context_.get(), graph_.view(), kSlots, kMaxRank, &adapters_, e);
  }));
  if (!adapters_) return Error(Code::kInternal, "adapters_create() succeeded and gave no pool");
  for (const SketchDelta& d : material_.deltas) {
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
  std::vector<void*> handles(material_.graph.values().size());
  for (const auto& [id, weight] : weights_) handles[id] = weight.handle;
  mnw_plan_request request{};
  request.graph = graph_.view();
  request.weights = handles.data();
  request.state = state_ ? state_->get() : nullptr;
  request.adapters = adapters_;
  std::copy(max.begin(), max.end(), request.max);
  Guarded in = HostStruct(request, subject().age);
  MNW_TRY(subject().Call("plan", [&](mnw_error* e) {
    return table().plan(context_.get(), reinterpret_cast<const mnw_plan_request*>(in.data()),
                        &plan_, e);
  }));
  return plan_ ? Status() : Error(Code::kInternal, "plan() succeeded and gave no plan");
}

Result<Outputs> Program::Run(const Step& step) { return RunStep(step, false); }
Result<Outputs> Program::RunAndLinger(const Step& step) { return RunStep(step, true); }

Result<Outputs> Program::RunStep(const Step& step, bool linger) {
  if (!step.edits.empty()) MNW_TRY(state_->Edit(step.edits));
  MNW_ASSIGN(const auto buffers, Buffers::Make(context_, material_.graph, step));
  const Guarded bindings(std::as_bytes(buffers->bindings()));
  mnw_run_args args{};
  args.n_bindings = static_cast<uint32_t>(buffers->bindings().size());
  std::copy(step.symbols.begin(), step.symbols.end(), args.symbols);
  args.bindings = reinterpret_cast<const mnw_binding*>(bindings.data());
  args.done = Completion::Done;
  args.done_arg = &completion_;
  Guarded in = HostStruct(args, subject().age);
  completion_.Begin(buffers->visible());
  Status status = subject().Call("run", [&](mnw_error* e) {
    return table().run(plan_, reinterpret_cast<const mnw_run_args*>(in.data()), e);
  });
  in.TakeAway();  // the bindings live until done, the arguments only as long as the call
  if (!status.ok()) {
    if (completion_.count() == 0) return status;
    return Error(Code::kInternal, "{}; and yet `done` was called", status.message());
  }
  subject().trace->Say("waiting for `done`");
  if (!completion_.Wait()) return Error(Code::kInternal, "`done` is not called within 5 s");
  Outputs outputs = completion_.kept();
  if (subject().own_memory && completion_.status().ok()) {
    MNW_ASSIGN(outputs, buffers->Read());
  }
  if (linger) std::this_thread::sleep_for(std::chrono::milliseconds(30));
  if (completion_.count() > 1) {
    return Error(Code::kInternal, "`done` was called {} times", completion_.count());
  }
  MNW_TRY(completion_.status());
  MNW_TRY(buffers->Check());
  MNW_ASSIGN(const Outputs now, buffers->Read());
  for (size_t i = 0; i < now.size(); ++i) {
    if (outputs[i] != now[i]) {
      return Error(Code::kInternal, "output {} was written after `done`", i);
    }
  }
  if (!step.commits.empty()) MNW_TRY(state_->Commit(step.commits));
  return outputs;
}

namespace {

mnw_state_spec PointTo(const Guarded& groups, const Guarded& layers, mnw_state_spec spec) {
  spec.groups = groups.data();
  spec.layers = layers.data();
  return spec;
}

}  // namespace

State::State(const Context& context, const mnw_state_spec& spec)
    : context_(context),
      own_layers_(static_cast<const mnw_state_layer*>(spec.layers),
                  static_cast<const mnw_state_layer*>(spec.layers) + spec.n_layers),
      spec_(spec),
      groups_(HostArray(std::span(static_cast<const mnw_state_group*>(spec.groups), spec.n_groups),
                        context.subject().age, &spec_.group_stride)),
      layers_(HostArray(std::span(own_layers_), context.subject().age, &spec_.layer_stride)),
      guarded_spec_(HostStruct(PointTo(groups_, layers_, spec_), context.subject().age)) {}

Result<std::unique_ptr<State>> State::Make(const Context& context, const mnw_state_spec& spec) {
  const Subject& subject = context.subject();
  const mnw_backend& table = *subject.table;
  if (!MNW_HAS(&table, mnw_backend, state_bytes) || !table.state_create) {
    return Error(Code::kInternal, "it claims an op on a state, but has no state_create");
  }
  std::unique_ptr<State> s(new State(context, spec));
  const auto* in = reinterpret_cast<const mnw_state_spec*>(s->guarded_spec_.data());
  MNW_TRY(subject.Call("state_create", [&](mnw_error* e) {
    return table.state_create(context.get(), in, &s->state_, e);
  }));
  return s;
}

State::~State() {
  if (state_) subject().Do("state_free", [&] { subject().table->state_free(state_); });
}

Status State::Edit(std::span<const mnw_page_edit> edits) {
  return subject().Call("state_edit", [&](mnw_error* e) {
    return subject().table->state_edit(state_, edits.data(), static_cast<uint32_t>(edits.size()),
                                       e);
  });
}

Status State::Commit(std::span<const conformance::Commit> commits) {
  for (const conformance::Commit& c : commits) {
    MNW_TRY(subject().Call("state_commit", [&](mnw_error* e) {
      return subject().table->state_commit(state_, c.group, c.rows.data(), c.slots.data(),
                                           static_cast<uint32_t>(c.rows.size()), e);
    }));
  }
  return Status();
}

size_t State::PageFloats(uint32_t layer) const {
  const mnw_state_layer& l = own_layers_[layer];
  return size_t{kPageTokens} * l.n_kv_heads * (l.k_dim + l.v_dim);
}

Result<std::vector<float>> State::Export(uint32_t layer, uint32_t page) {
  const Guarded out(PageFloats(layer) * sizeof(float));
  auto* floats = reinterpret_cast<float*>(out.data());
  MNW_TRY(subject().Call("state_export", [&](mnw_error* e) {
    return subject().table->state_export(state_, layer, page, floats, e);
  }));
  if (const std::string at = out.Breach(); !at.empty()) {
    return Error(Code::kInternal, "state_export() wrote beyond the page, {}", at);
  }
  return std::vector<float>(floats, floats + PageFloats(layer));
}

Status State::Import(uint32_t layer, uint32_t page, std::span<const float> values) {
  const Guarded in(std::as_bytes(values));
  return subject().Call("state_import", [&](mnw_error* e) {
    return subject().table->state_import(state_, layer, page,
                                         reinterpret_cast<const float*>(in.data()), e);
  });
}

}  // namespace minnow::conformance
