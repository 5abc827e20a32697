#include "plan.h"

#include <algorithm>
#include <atomic>
#include <new>

namespace minnow::cpu {

namespace {

constexpr size_t kAlign = 64;

}  // namespace

PlanBuilder::PlanBuilder(mnw_plan& plan) : plan_(plan), last_use_(plan.graph->n_values, 0) {
  const mnw_graph* g = plan.graph;
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    const mnw_node& node = *mnw_node_at(g, i);
    for (uint32_t j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE) continue;
      last_use_[node.in[j]] = i;
      last_use_[sdk::GraphView(*g).Base(node.in[j])] = i;
    }
  }
}

std::unique_ptr<Step> PlanBuilder::Build(uint32_t i) {
  const mnw_node& node = *mnw_node_at(plan_.graph, i);
  node_ = i;
  for (uint32_t j = 0; j < node.n_out; ++j) {
    const mnw_value& v = plan_.value(node.out[j]);
    if (v.kind != MNW_KIND_TEMP) continue;
    const size_t n_bytes = static_cast<size_t>(sdk::Elements(v, plan_.max)) * sizeof(float);
    plan_.offset[node.out[j]] = Place(n_bytes, std::max(i, last_use_[node.out[j]]));
  }
  auto step = MakeStep(*this, node);
  std::erase_if(live_, [&](const Block& b) { return b.last_use <= i; });
  return step;
}

size_t PlanBuilder::Place(size_t n_bytes, uint32_t last_use) {
  const size_t n = (n_bytes + kAlign - 1) / kAlign * kAlign;
  size_t at = 0;
  auto next = live_.begin();
  for (; next != live_.end() && at + n > next->begin; ++next) at = next->end;
  live_.insert(next, {at, at + n, last_use});
  plan_.scratch_bytes = std::max(plan_.scratch_bytes, at + n);
  return at;
}

int32_t PlanBuilder::Quantized(mnw_id value, bool* first) {
  int32_t& index = plan_.quantized_of[value];
  *first = index < 0;
  if (index < 0) {
    const mnw_value& v = plan_.value(value);
    const size_t n = static_cast<size_t>(sdk::Elements(v, plan_.max)), blocks = n / kActBlock;
    QuantizedSlot slot;
    slot.k = v.dim[0];
    slot.q = Place(n, last_use_[value]);
    slot.scale = Place(blocks * sizeof(float), last_use_[value]);
    slot.sum = Place(2 * blocks * sizeof(int16_t), last_use_[value]);
    index = static_cast<int32_t>(plan_.quantized.size());
    plan_.quantized.push_back(slot);
  }
  return index;
}

size_t PlanBuilder::SlotRuns(mnw_id input) {
  auto& all = plan_.slot_runs;
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const SlotInput& s) { return s.input == input; });
  if (it != all.end()) return static_cast<size_t>(it - all.begin());
  all.push_back({input, {}});
  return all.size() - 1;
}

std::unique_ptr<Step> MakeStep(PlanBuilder& b, const mnw_node& node) {
  if (auto s = MakeLinearStep(b, node)) return s;
  if (auto s = MakeRowStep(b, node)) return s;
  if (auto s = MakeRopeStep(b, node)) return s;
  if (auto s = MakeAttentionStep(b, node)) return s;
  if (auto s = MakeSeqAttentionStep(b, node)) return s;
  return MakeRecurrentStep(b, node);
}

namespace {

// Is there a pool, and was it made for this graph?
int CheckAdapters(const mnw_plan& p, mnw_error* e) {
  for (uint32_t i = 0; i < p.graph->n_nodes; ++i) {
    bool known = true;
    sdk::ForEachSite(*mnw_node_at(p.graph, i), [&](uint32_t site, uint32_t) {
      known &= p.adapters && p.adapters->Find(site) < p.adapters->sites.size();
    });
    if (!known) {
      return Fail(e, MNW_INVALID, "an adapter site that is not in the request's pool",
                  static_cast<int32_t>(i));
    }
  }
  return MNW_OK;
}

}  // namespace

int MakePlan(mnw_context* c, const mnw_plan_request* request, mnw_plan** out, mnw_error* e) {
  auto p = std::make_unique<mnw_plan>();
  const mnw_graph* g = request->graph;
  p->context = c;
  p->graph = g;
  p->state = request->state;
  p->adapters = request->adapters;
  std::copy_n(request->max, MNW_N_SYMBOLS, p->max);
  p->weights.resize(g->n_values);
  p->offset.assign(g->n_values, 0);
  p->quantized_of.assign(g->n_values, -1);
  p->data.assign(g->n_values, nullptr);
  for (uint32_t i = 0; i < g->n_values; ++i) {
    p->weights[i] = static_cast<const Weight*>(request->weights[i]);
    if (p->weights[i]) {
      p->data[i] = reinterpret_cast<std::byte*>(const_cast<float*>(p->weights[i]->vector()));
    }
  }
  if (const int code = CheckAdapters(*p, e); code != MNW_OK) return code;
  PlanBuilder builder(*p);
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    auto step = builder.Build(i);
    if (!step) return Fail(e, MNW_UNSUPPORTED, "unknown op in a plan", static_cast<int32_t>(i));
    p->steps.push_back(std::move(step));
  }
  if (c->scratch.size() < p->scratch_bytes && !c->scratch.Allocate(p->scratch_bytes)) {
    return Fail(e, MNW_OUT_OF_MEMORY, "no memory for intermediate values; use smaller steps", -1,
                p->scratch_bytes);
  }
  *out = p.release();
  return MNW_OK;
}

namespace {

bool IsBound(const mnw_value& v) { return v.kind == MNW_KIND_INPUT || v.kind == MNW_KIND_OUTPUT; }

// The addresses of all values for this run.
int Bind(mnw_plan* p, const mnw_run_args* args, mnw_error* e) {
  const uint32_t n_values = p->graph->n_values;
  for (uint32_t i = 0; i < n_values; ++i) {
    if (IsBound(p->value(i))) p->data[i] = nullptr;
  }
  for (uint32_t i = 0; i < args->n_bindings; ++i) {
    const mnw_binding& b = args->bindings[i];
    if (b.value >= n_values || !IsBound(p->value(b.value))) {
      return Fail(e, MNW_INVALID, "value " + std::to_string(b.value) + " is no input or output");
    }
    p->data[b.value] = static_cast<std::byte*>(b.data);
  }
  for (uint32_t i = 0; i < n_values; ++i) {
    const mnw_value& v = p->value(i);
    if (v.kind == MNW_KIND_TEMP) p->data[i] = p->scratch(p->offset[i]);
    if (v.kind == MNW_KIND_VIEW && p->data[v.view_of]) {
      p->data[i] = p->data[v.view_of] + v.view_offset;
    }
    if (IsBound(v) && !p->data[i]) {
      return Fail(e, MNW_INVALID,
                  "nothing is bound to " + (v.name ? v.name : "value " + std::to_string(i)));
    }
  }
  return MNW_OK;
}

// The runs of rows of each slot in this step.
int FindSlotRuns(mnw_plan* p, mnw_error* e) {
  for (SlotInput& slots : p->slot_runs) {
    slots.runs.clear();
    const Tensor ids = p->tensor(slots.input);
    for (int64_t t = 0; t < ids.dim[0]; ++t) {
      const int32_t slot = ids.i32()[t];
      if (slot == -1) continue;
      if (slot < 0 || static_cast<uint32_t>(slot) >= p->adapters->n_slots) {
        return Fail(e, MNW_OUT_OF_RANGE,
                    "row " + std::to_string(t) + " has adapter slot " + std::to_string(slot));
      }
      const auto wanted = static_cast<uint32_t>(slot);
      if (!slots.runs.empty() && slots.runs.back().slot == wanted && slots.runs.back().end == t) {
        ++slots.runs.back().end;
      } else {
        slots.runs.push_back({t, t + 1, wanted});
      }
    }
  }
  return MNW_OK;
}

}  // namespace

int RunPlan(mnw_plan* p, const mnw_run_args* args, mnw_error* e) {
  for (int i = 0; i < MNW_N_SYMBOLS; ++i) {
    if (args->symbols[i] < 0 || args->symbols[i] > p->max[i]) {
      return Fail(e, MNW_OUT_OF_RANGE, "a symbol is outside the range the plan was made for");
    }
    p->symbols[i] = args->symbols[i];
  }
  if (const int code = Bind(p, args, e); code != MNW_OK) return code;
  if (const int code = FindSlotRuns(p, e); code != MNW_OK) return code;
  // A step that runs out of memory on any thread is the last one, for all threads alike.
  std::atomic<size_t> failed{p->steps.size()};
  p->context->team.Run([&](int ith) {
    for (size_t i = 0; i < p->steps.size() && i <= failed.load(std::memory_order_relaxed); ++i) {
      try {
        p->steps[i]->Run(*p, ith);
      } catch (const std::bad_alloc&) {
        failed.store(i, std::memory_order_relaxed);
      }
      p->context->team.Barrier();
    }
  });
  if (failed < p->steps.size()) {
    return Fail(e, MNW_OUT_OF_MEMORY, "no memory in the middle of a step",
                static_cast<int32_t>(failed));
  }
  if (args->done) args->done(args->done_arg, MNW_OK, nullptr);
  return MNW_OK;
}

}  // namespace minnow::cpu

minnow::cpu::Tensor mnw_plan::tensor(mnw_id id) const {
  const mnw_value& v = value(id);
  minnow::cpu::Tensor t{data[id], {}, {}};
  for (int i = 0; i < 4; ++i) {
    t.dim[i] = minnow::sdk::Extent(v.dim[i], symbols);
    t.stride[i] = v.stride[i];
  }
  return t;
}
