// The functions behind the fake backend's table.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <minnow/sdk/graph_view.hpp>
#include <thread>

#include "fake_backend/fake_impl.h"

namespace minnow::test {

FakeBackend::Impl* g_current = nullptr;
thread_local bool t_inside_done = false;

int64_t Elements(const mnw_value& value, const int64_t* symbols) {
  int64_t n = 1;
  for (int64_t dim : value.dim) n *= dim < 0 ? symbols[MNW_DIM_SYMBOL(dim)] : dim;
  return n;
}

void* Bound(const mnw_run_args& args, mnw_id id) {
  for (uint32_t i = 0; i < args.n_bindings; ++i) {
    if (args.bindings[i].value == id) return args.bindings[i].data;
  }
  return nullptr;
}

int Fail(mnw_error* e, int code, const std::string& message) {
  if (e) {
    *e = {};
    e->node = -1;
    std::snprintf(e->message, sizeof e->message, "%s", message.c_str());
  }
  return code;
}

std::vector<std::pair<const mnw_value*, Tokens>> ReadInputs(const FakePlan& plan,
                                                            const mnw_run_args& args,
                                                            std::string* wrong) {
  std::vector<std::pair<const mnw_value*, Tokens>> inputs;
  for (mnw_id i = 0; i < plan.graph->n_values; ++i) {
    const mnw_value* value = mnw_value_at(plan.graph, i);
    if (value->kind != MNW_KIND_INPUT && value->kind != MNW_KIND_OUTPUT) continue;
    const auto* data = static_cast<const int32_t*>(Bound(args, i));
    const int64_t n = Elements(*value, args.symbols);
    if (!data && n > 0) {
      *wrong = fmt::format("value {} ('{}') is not bound", i, value->name ? value->name : "");
    }
    if (!data || value->kind == MNW_KIND_OUTPUT || value->type != MNW_TYPE_I32) continue;
    inputs.emplace_back(value, Tokens(data, data + n));
  }
  return inputs;
}

namespace {

// Whether a call may come while a run of its context is in flight. What prepares may; what frees or
// touches pages may not.
enum class Alone { kNo, kYes };

// A call of the table: takes the lock and checks what the contract says of every call. One per
// context at a time, none from inside `done`, none after the device was lost.
class Call {
 public:
  Call(FakeContext* c, const char* name, Alone alone)
      : context_(c), name_(name), lock_(c->backend->mutex, std::defer_lock) {
    const bool crowded = c->calls.fetch_add(1) > 0;
    lock_.lock();
    if (crowded) Wrong("two calls at once on one context");
    if (t_inside_done) Wrong("called from inside done");
    if (alone == Alone::kYes && c->in_flight > 0)
      Wrong("called while a run of this context is in flight");
  }
  ~Call() { context_->calls.fetch_sub(1); }

  FakeBackend::Impl& backend() { return *context_->backend; }

  void Wrong(const std::string& what) {
    wrong_ = fmt::format("{}: {}", name_, what);
    if (backend().violations.size() < 100) backend().violations.push_back(wrong_);
  }

  // The code to return, after what went wrong so far and `what` ("" for nothing).
  int Finish(mnw_error* e, const std::string& what = "") {
    if (!what.empty()) Wrong(what);
    if (!wrong_.empty()) return Fail(e, MNW_INVALID, wrong_);
    if (context_->lost) return Fail(e, MNW_DEVICE_LOST, "the device was lost earlier");
    return MNW_OK;
  }

 private:
  FakeContext* context_;
  const char* name_;
  std::unique_lock<std::mutex> lock_;
  std::string wrong_;
};

uint32_t DeviceCount() { return 1; }

int DeviceInfo(uint32_t, mnw_device_info* out, mnw_error*) {
  out->flags = MNW_DEVICE_HOST_MEMORY;
  out->id = "fake";
  out->description = "token ids instead of a network";
  out->memory_total = out->memory_free = g_current->options.memory_total;
  out->repeatability = static_cast<uint32_t>(g_current->options.repeatability);
  return MNW_OK;
}

int Open(uint32_t, const mnw_host*, const mnw_context_options* options, mnw_context** out,
         mnw_error* e) {
  if (options->config) {
    return Fail(e, MNW_INVALID, fmt::format("unknown option '{}'", options->config));
  }
  const std::lock_guard lock(g_current->mutex);
  auto* c = new FakeContext;
  c->backend = g_current;
  *out = reinterpret_cast<mnw_context*>(c);
  ++g_current->counters.contexts;
  return MNW_OK;
}

void Close(mnw_context* handle) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  {
    Call call(c, "close", Alone::kYes);
    if (!c->handles.empty()) {
      call.Wrong(fmt::format("{} weights were not freed", c->handles.size()));
    }
    --call.backend().counters.contexts;
  }
  delete c;
}

int Claim(mnw_context* handle, const mnw_graph* g, mnw_claim* out, mnw_error* e) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "claim", Alone::kNo);
  for (uint32_t i = 0; i < g->n_nodes; ++i) out[i] = {i + 1, 1.0f, nullptr};
  return call.Finish(e);
}

int LoadWeights(mnw_context* handle, const mnw_graph* g, const mnw_weight_source* sources,
                uint32_t n, uint32_t source_stride, mnw_weight* out, mnw_error* e) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "load_weights", Alone::kNo);
  for (uint32_t i = 0; i < n; ++i) {
    const auto& source = *reinterpret_cast<const mnw_weight_source*>(
        reinterpret_cast<const char*>(sources) + size_t{i} * source_stride);
    if (source.value >= g->n_values || mnw_value_at(g, source.value)->kind != MNW_KIND_WEIGHT) {
      return call.Finish(e, fmt::format("value {} is no weight", source.value));
    }
    const char* name = mnw_value_at(g, source.value)->name;
    if (!source.data || source.n_bytes == 0) {
      return call.Finish(e, fmt::format("'{}' has no bytes", name));
    }
    if (!c->weights.insert({g, source.value}).second) {
      return call.Finish(e, fmt::format("'{}' is handed over twice", name));
    }
  }
  for (uint32_t i = 0; i < n; ++i) {
    const bool owned = call.backend().options.residency == MNW_OWNED;
    out[i] = {new char, owned ? 1u : 0u, static_cast<uint32_t>(call.backend().options.residency),
              0};
    const auto& source = *reinterpret_cast<const mnw_weight_source*>(
        reinterpret_cast<const char*>(sources) + size_t{i} * source_stride);
    c->handles.emplace(out[i].handle, std::pair(g, source.value));
  }
  call.backend().counters.weights += n;
  call.backend().counters.weights_handed += n;
  return call.Finish(e);
}

void FreeWeights(mnw_context* handle, const mnw_weight* weights, uint32_t n) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "free_weights", Alone::kYes);
  for (uint32_t i = 0; i < n; ++i) {
    const auto alive = c->handles.find(weights[i].handle);
    if (alive == c->handles.end()) {
      call.Wrong("a handle that is not alive");
      continue;
    }
    c->weights.erase(alive->second);
    c->handles.erase(alive);
    delete static_cast<char*>(weights[i].handle);
    --call.backend().counters.weights;
  }
}

int Plan(mnw_context* handle, const mnw_plan_request* r, mnw_plan** out, mnw_error* e) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "plan", Alone::kNo);
  auto* adapters = reinterpret_cast<FakeAdapters*>(r->adapters);
  for (uint32_t i = 0; i < r->graph->n_nodes; ++i) {
    std::string wrong;
    sdk::ForEachSite(*mnw_node_at(r->graph, i), [&](uint32_t site, uint32_t) {
      if (!adapters || adapters->sites.count(site) == 0) {
        wrong = fmt::format("site {} is not in the request's pool of adapters", site);
      }
    });
    if (!wrong.empty()) return call.Finish(e, wrong);
  }
  bool needs_state = false;
  for (mnw_id i = 0; i < r->graph->n_values; ++i) {
    const mnw_value& value = *mnw_value_at(r->graph, i);
    needs_state |= value.kind == MNW_KIND_STATE;
    if (value.kind == MNW_KIND_WEIGHT && (!r->weights || c->handles.count(r->weights[i]) == 0)) {
      return call.Finish(e, fmt::format("weight '{}' has no live handle", value.name));
    }
  }
  if (needs_state && !r->state) return call.Finish(e, "the graph has state, the request has none");
  auto* state = reinterpret_cast<FakeStateHandle*>(r->state);
  if (state && state->context != c) return call.Finish(e, "the state is another context's");
  if (const int code = std::exchange(call.backend().fail_plan, MNW_OK)) {
    return Fail(e, code, "injected into plan");
  }
  *out = reinterpret_cast<mnw_plan*>(
      new FakePlan{c, r->graph, state, adapters, {r->max[0], r->max[1], r->max[2]}});
  ++call.backend().counters.plans;
  return call.Finish(e);
}

void FreePlan(mnw_plan* handle) {
  auto* p = reinterpret_cast<FakePlan*>(handle);
  {
    Call call(p->context, "free_plan", Alone::kYes);
    --call.backend().counters.plans;
  }
  delete p;
}

int Run(mnw_plan* handle, const mnw_run_args* args, mnw_error* e) {
  auto* p = reinterpret_cast<FakePlan*>(handle);
  Call call(p->context, "run", Alone::kYes);
  FakeBackend::Impl& backend = call.backend();
  for (int i = 0; i < MNW_N_SYMBOLS; ++i) {
    if (args->symbols[i] < 0 || args->symbols[i] > p->max[i]) {
      return call.Finish(e, fmt::format("symbol {} is {}, the plan was made for {}", i,
                                        args->symbols[i], p->max[i]));
    }
  }
  std::string wrong;
  Pending step = {p,
                  *args,
                  ReadInputs(*p, *args, &wrong),
                  p->adapters ? p->adapters->Marks() : Tokens(),
                  MNW_OK,
                  std::chrono::steady_clock::now() + backend.options.delay +
                      args->symbols[MNW_SYM_N_TOKENS] * backend.options.row_delay};
  if (!args->done) wrong = "no done";
  if (const int code = call.Finish(e, wrong)) return code;
  if (const int code = std::exchange(backend.fail_run, MNW_OK)) {
    p->context->lost |= code == MNW_DEVICE_LOST;
    return Fail(e, code, "injected into run");
  }
  step.fail_code = std::exchange(backend.fail_run_late, MNW_OK);
  ++backend.counters.runs;
  backend.counters.rows += static_cast<uint64_t>(args->symbols[MNW_SYM_N_TOKENS]);
  backend.counters.rows_out += static_cast<uint64_t>(args->symbols[MNW_SYM_N_OUT]);
  backend.runs.push_back({args->symbols[MNW_SYM_N_TOKENS], args->symbols[MNW_SYM_N_SEQS],
                          args->symbols[MNW_SYM_N_OUT]});
  ++p->context->in_flight;
  backend.queue.push_back(std::move(step));
  backend.changed.notify_all();
  return MNW_OK;
}

int StateCreate(mnw_context* handle, const mnw_state_spec* spec, mnw_state** out, mnw_error* e) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "state_create", Alone::kNo);
  if (std::exchange(call.backend().fail_state, false)) {
    Fail(e, MNW_OUT_OF_MEMORY, "injected into state_create");
    e->bytes_needed = uint64_t{1} << 40;
    return MNW_OUT_OF_MEMORY;
  }
  if (const int code = call.Finish(e)) return code;
  auto* s = new FakeStateHandle{c, FakeState(*spec)};
  *out = reinterpret_cast<mnw_state*>(s);
  call.backend().states.push_back(s);
  ++call.backend().counters.states;
  return MNW_OK;
}

void StateFree(mnw_state* handle) {
  auto* s = reinterpret_cast<FakeStateHandle*>(handle);
  {
    Call call(s->context, "state_free", Alone::kYes);
    std::erase(call.backend().states, s);
    --call.backend().counters.states;
  }
  delete s;
}

int StateEdit(mnw_state* handle, const mnw_page_edit* edits, uint32_t n, mnw_error* e) {
  auto* s = reinterpret_cast<FakeStateHandle*>(handle);
  Call call(s->context, "state_edit", Alone::kYes);
  for (uint32_t i = 0; i < n; ++i) {
    if (const std::string wrong = s->cells.Edit(edits[i]); !wrong.empty()) {
      return call.Finish(e, wrong);
    }
    ++(edits[i].src < 0 ? call.backend().counters.pages_zeroed
                        : call.backend().counters.pages_copied);
  }
  return call.Finish(e);
}

int StateCommit(mnw_state* handle, uint32_t group, const int32_t* rows, const int32_t* slots,
                uint32_t n, mnw_error* e) {
  auto* s = reinterpret_cast<FakeStateHandle*>(handle);
  Call call(s->context, "state_commit", Alone::kYes);
  if (const int code = std::exchange(call.backend().fail_commit, MNW_OK); code != MNW_OK) {
    s->context->lost |= code == MNW_DEVICE_LOST;
    return Fail(e, code, "injected into state_commit");
  }
  call.backend().counters.rows_committed += n;
  return call.Finish(e, s->cells.Commit(group, {rows, n}, {slots, n}));
}

int StateExport(mnw_state* handle, uint32_t layer, uint32_t page, float* out, mnw_error* e) {
  auto* s = reinterpret_cast<FakeStateHandle*>(handle);
  Call call(s->context, "state_export", Alone::kYes);
  return call.Finish(e, s->cells.Export(layer, page, out));
}

int StateImport(mnw_state* handle, uint32_t layer, uint32_t page, const float* in, mnw_error* e) {
  auto* s = reinterpret_cast<FakeStateHandle*>(handle);
  Call call(s->context, "state_import", Alone::kYes);
  return call.Finish(e, s->cells.Import(layer, page, in));
}

uint64_t StateBytes(mnw_context*, const mnw_state_spec* spec) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < spec->n_layers; ++i) {
    const auto& layer = *reinterpret_cast<const mnw_state_layer*>(
        static_cast<const char*>(spec->layers) + size_t{i} * spec->layer_stride);
    const auto& group = *reinterpret_cast<const mnw_state_group*>(
        static_cast<const char*>(spec->groups) + size_t{layer.group} * spec->group_stride);
    bytes += uint64_t{group.n_pages} * group.page_tokens * layer.n_kv_heads *
             (layer.k_dim + layer.v_dim) * sizeof(float);
  }
  return bytes;
}

int AdaptersCreate(mnw_context* handle, const mnw_graph* g, uint32_t n_slots, uint32_t max_rank,
                   mnw_adapters** out, mnw_error* e) {
  auto* c = reinterpret_cast<FakeContext*>(handle);
  Call call(c, "adapters_create", Alone::kNo);
  auto* a = new FakeAdapters{c, max_rank, {}, {}};
  a->slots.resize(n_slots);
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    sdk::ForEachSite(*mnw_node_at(g, i), [&](uint32_t site, uint32_t) { a->sites.insert(site); });
  }
  *out = reinterpret_cast<mnw_adapters*>(a);
  call.backend().adapter_pools.push_back(a);
  ++call.backend().counters.adapter_pools;
  return call.Finish(e);
}

// True if a run in flight has rows of the slot.
bool InUse(const FakeBackend::Impl& backend, const FakeAdapters* pool, uint32_t slot) {
  for (const Pending& step : backend.queue) {
    if (step.plan->adapters != pool) continue;
    for (const auto& [value, data] : step.inputs) {
      if (value->role != MNW_INPUT_ADAPTER) continue;
      if (std::find(data.begin(), data.end(), static_cast<int32_t>(slot)) != data.end())
        return true;
    }
  }
  return false;
}

int AdaptersSet(mnw_adapters* handle, uint32_t slot, uint32_t site, uint32_t rank,
                const float* lora_a, const float* lora_b, float scale, mnw_error* e) {
  auto* a = reinterpret_cast<FakeAdapters*>(handle);
  std::this_thread::sleep_for(a->context->backend->options.adapter_delay);
  Call call(a->context, "adapters_set", Alone::kNo);
  if (slot >= a->slots.size() || a->sites.count(site) == 0) {
    return call.Finish(e, fmt::format("there is no slot {} with a site {}", slot, site));
  }
  if (InUse(call.backend(), a, slot)) {
    return call.Finish(e, fmt::format("a run in flight has rows of slot {}", slot));
  }
  a->slots[slot].erase(site);
  if (rank == 0) return call.Finish(e);
  if (rank > a->max_rank || !lora_a || !lora_b) {
    return call.Finish(e, fmt::format("rank {} of {}, or no matrices", rank, a->max_rank));
  }
  uint32_t& left = call.backend().adapters_until_failure;
  if (left > 0 && --left == 0) {
    return Fail(e, MNW_OUT_OF_MEMORY, "injected into adapters_set");
  }
  a->slots[slot][site] = scale;
  return call.Finish(e);
}

void AdaptersFree(mnw_adapters* handle) {
  auto* a = reinterpret_cast<FakeAdapters*>(handle);
  {
    Call call(a->context, "adapters_free", Alone::kYes);
    std::erase(call.backend().adapter_pools, a);
    --call.backend().counters.adapter_pools;
  }
  delete a;
}

uint64_t AdaptersBytes(mnw_adapters* handle) {
  auto* a = reinterpret_cast<FakeAdapters*>(handle);
  const std::lock_guard lock(a->context->backend->mutex);
  uint64_t n = 0;
  for (const auto& slot : a->slots) n += slot.size();
  return n;
}

mnw_backend MakeTable(bool has_state_edit) {
  mnw_backend t = {};
  t.size = sizeof t;
  t.device_count = DeviceCount;
  t.device_info = DeviceInfo;
  t.open = Open;
  t.close = Close;
  t.claim = Claim;
  t.load_weights = LoadWeights;
  t.free_weights = FreeWeights;
  t.plan = Plan;
  t.free_plan = FreePlan;
  t.run = Run;
  t.state_create = StateCreate;
  t.state_free = StateFree;
  if (has_state_edit) t.state_edit = StateEdit;
  t.state_commit = StateCommit;
  t.state_export = StateExport;
  t.state_import = StateImport;
  t.state_bytes = StateBytes;
  t.adapters_create = AdaptersCreate;
  t.adapters_set = AdaptersSet;
  t.adapters_free = AdaptersFree;
  t.adapters_bytes = AdaptersBytes;
  return t;
}

}  // namespace

const mnw_backend kFakeTable = MakeTable(true);
const mnw_backend kFakeTableWithoutEdit = MakeTable(false);

}  // namespace minnow::test
