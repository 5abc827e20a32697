#include "graph/draft.h"

#include <algorithm>
#include <vector>

#include "graph/op_rules.h"

namespace minnow::graph {
namespace {

// More than any model has, small enough to index by.
constexpr uint32_t kMaxStateLayers = 1 << 16;
constexpr uint32_t kMaxStateDim = 1 << 20;

mnw_value NewValue(mnw_kind kind, int32_t type, const Dims& dims) {
  mnw_value v{};
  v.size = sizeof v;
  v.type = type;
  v.kind = kind;
  v.view_of = MNW_NONE;
  std::copy(dims.begin(), dims.end(), v.dim);
  return v;
}

}  // namespace

Result<mnw_id> Draft::Add(mnw_value value, std::string_view name) {
  Dims dims;
  std::copy(value.dim, value.dim + 4, dims.begin());
  if (value.type != MNW_TYPE_NONE) {
    MNW_TRY(CheckForm(value.type, dims));
    const auto strides = PackedStrides(value.type, dims);
    std::copy(strides.begin(), strides.end(), value.stride);
  }
  if (!name.empty()) value.name = data_->arena.Keep(name);
  data_->values.push_back(value);
  return n_values() - 1;
}

Result<mnw_id> Draft::AddWeight(std::string_view name, mnw_type type, const Dims& dims) {
  return Add(NewValue(MNW_KIND_WEIGHT, type, dims), name);
}

Result<mnw_id> Draft::AddInput(mnw_input role, uint32_t index, mnw_type type, const Dims& dims,
                               std::string_view name) {
  mnw_value v = NewValue(MNW_KIND_INPUT, type, dims);
  v.role = role;
  v.index = index;
  return Add(v, name);
}

uint32_t Draft::AddStateGroup(mnw_state_kind kind, uint32_t window, uint32_t page_tokens) {
  data_->state_groups.push_back({.size = sizeof(mnw_state_group),
                                 .kind = static_cast<uint32_t>(kind),
                                 .window = window,
                                 .page_tokens = page_tokens,
                                 .n_pages = 0});
  return static_cast<uint32_t>(data_->state_groups.size()) - 1;
}

Result<mnw_id> Draft::AddState(uint32_t layer, uint32_t group, uint32_t n_kv_heads, uint32_t k_dim,
                               uint32_t v_dim) {
  if (group >= data_->state_groups.size()) {
    return Error(Code::kInvalid, "layer {}: there is no state group {}", layer, group);
  }
  if (layer >= kMaxStateLayers) return Error(Code::kInvalid, "state layer {} is too many", layer);
  for (uint32_t n : {n_kv_heads, k_dim, v_dim}) {
    if (n == 0 || n > kMaxStateDim) {
      return Error(Code::kInvalid, "layer {}: a state of {} heads of {} and {} is not possible",
                   layer, n_kv_heads, k_dim, v_dim);
    }
  }
  auto& layers = data_->state_layers;
  while (layers.size() <= layer) {
    layers.push_back({.size = sizeof(mnw_state_layer),
                      .group = 0,
                      .n_kv_heads = 0,
                      .k_dim = 0,
                      .v_dim = 0,
                      .type = MNW_TYPE_F32});
  }
  mnw_state_layer& l = layers[layer];
  if (l.n_kv_heads != 0) return Error(Code::kInvalid, "layer {} has a state already", layer);
  l.group = group;
  l.n_kv_heads = n_kv_heads;
  l.k_dim = k_dim;
  l.v_dim = v_dim;
  mnw_value v = NewValue(MNW_KIND_STATE, MNW_TYPE_NONE, {k_dim, v_dim, n_kv_heads, 1});
  v.index = layer;
  return Add(v, "");
}

Result<mnw_id> Draft::AddView(mnw_id of, const Dims& dims, std::span<const int64_t, 4> strides,
                              uint64_t offset) {
  if (of >= n_values()) return Error(Code::kInvalid, "a view of nothing");
  const mnw_value& source = value(of);
  mnw_value v = NewValue(MNW_KIND_VIEW, source.type, dims);
  std::copy(strides.begin(), strides.end(), v.stride);
  v.view_of = of;
  v.view_offset = offset;
  if (source.kind == MNW_KIND_VIEW) {
    v.view_of = source.view_of;
    if (__builtin_add_overflow(offset, source.view_offset, &v.view_offset)) {
      return Error(Code::kInvalid, "a view of %{}: its offset is too large", of);
    }
  }
  Status status = CheckForm(v.type, dims);
  if (status.ok()) status = CheckView(value(v.view_of), v);
  if (!status.ok()) return std::move(status).Annotate(fmt::format("a view of %{}", of));
  data_->values.push_back(v);
  return n_values() - 1;
}

Result<mnw_id> Draft::AddPackedView(mnw_id of, const Dims& dims, uint64_t offset) {
  if (of >= n_values()) return Error(Code::kInvalid, "a view of nothing");
  const int32_t type = value(of).type;
  Status status = CheckForm(type, dims);
  if (!status.ok()) return std::move(status).Annotate(fmt::format("a view of %{}", of));
  return AddView(of, dims, PackedStrides(type, dims), offset);
}

Result<Outs> Draft::Emit(uint32_t op, int32_t layer, std::span<const mnw_id> in, const void* params,
                         uint32_t params_size) {
  const OpRule* rule = FindOp(op);
  if (!rule) return Error(Code::kInvalid, "{} is no op", op);
  while (in.size() > rule->min_in && in.back() == MNW_NONE) in = in.first(in.size() - 1);
  if (in.size() > MNW_MAX_INPUTS) {
    return Error(Code::kInvalid, "{}: it has {} inputs", rule->name, in.size());
  }
  std::vector<const mnw_value*> values;
  for (mnw_id id : in) {
    if (id != MNW_NONE && id >= n_values()) {
      return Error(Code::kInvalid, "{}: there is no value %{}", rule->name, id);
    }
    values.push_back(id == MNW_NONE ? nullptr : &value(id));
  }

  auto shapes = InferShapes(*rule, values, params, params_size);
  for (int i = 0; i < rule->n_out && shapes.ok(); ++i) {  // before anything is added
    if ((*shapes)[i].type == MNW_TYPE_NONE) continue;
    if (Status s = CheckForm((*shapes)[i].type, (*shapes)[i].dim); !s.ok()) {
      shapes = std::move(s).Annotate(fmt::format("output {}", i));
    }
  }
  if (!shapes.ok()) {
    const std::string where = layer < 0 ? "" : fmt::format("layer {}: ", layer);
    return std::move(shapes).status().Annotate(where + rule->name);
  }

  mnw_node node{};
  node.size = sizeof node;
  node.op = op;
  std::fill_n(node.in, MNW_MAX_INPUTS, MNW_NONE);
  std::fill_n(node.out, MNW_MAX_OUTPUTS, MNW_NONE);
  std::copy(in.begin(), in.end(), node.in);
  node.n_in = static_cast<uint16_t>(in.size());
  node.n_out = rule->n_out;
  node.layer = layer;
  node.params_size = params_size;
  node.params = data_->arena.Keep(params, params_size);
  uint32_t state_layer = 0;
  for (const mnw_value* v : values) {
    if (v && v->kind == MNW_KIND_STATE) state_layer = v->index;
  }
  Outs outs = kNoOuts;
  for (int i = 0; i < rule->n_out; ++i) {
    const OutShape& shape = (*shapes)[i];
    mnw_value v = NewValue(shape.type == MNW_TYPE_NONE ? MNW_KIND_STATE : MNW_KIND_TEMP, shape.type,
                           shape.dim);
    v.index = v.kind == MNW_KIND_STATE ? state_layer : 0;
    MNW_ASSIGN(outs[i], Add(v, ""));
    node.out[i] = outs[i];
  }
  data_->nodes.push_back(node);
  return outs;
}

Status Draft::MarkOutput(mnw_id id, std::string_view name) {
  if (id >= n_values()) return Error(Code::kInvalid, "output '{}': there is no such value", name);
  mnw_value& v = data_->values[id];
  if (v.kind != MNW_KIND_TEMP) {
    return Error(
        Code::kInvalid, "output '{}': %{} is {}", name, id,
        v.kind == MNW_KIND_OUTPUT ? "an output already" : "made by no node; copy it first");
  }
  v.kind = MNW_KIND_OUTPUT;
  v.name = data_->arena.Keep(name);
  return {};
}

mnw_id Draft::CopyValue(const mnw_value& from) {
  mnw_value v = from;
  v.size = sizeof v;
  v.name = from.name ? data_->arena.Keep(std::string_view(from.name)) : nullptr;
  data_->values.push_back(v);
  return n_values() - 1;
}

void Draft::CopyNode(const mnw_node& from) {
  mnw_node n = from;
  n.size = sizeof n;
  n.params = data_->arena.Keep(from.params, from.params_size);
  data_->nodes.push_back(n);
}

void Draft::CopyModel(const Graph& from) {
  data_->state_groups.assign(from.state_groups().begin(), from.state_groups().end());
  data_->state_layers.assign(from.state_layers().begin(), from.state_layers().end());
  data_->info = from.info();
}

Graph Draft::Finish() {
  for (mnw_id id = 0; id < n_values(); ++id) {
    const uint32_t kind = value(id).kind;
    if (kind == MNW_KIND_WEIGHT) data_->weights.push_back(id);
    if (kind == MNW_KIND_INPUT) data_->inputs.push_back(id);
    if (kind == MNW_KIND_OUTPUT) data_->outputs.push_back(id);
  }
  data_->view = {.size = sizeof(mnw_graph),
                 .n_values = n_values(),
                 .n_nodes = n_nodes(),
                 .value_stride = sizeof(mnw_value),
                 .node_stride = sizeof(mnw_node),
                 .values = data_->values.data(),
                 .nodes = data_->nodes.data()};
  return Graph(std::move(data_));
}

}  // namespace minnow::graph
