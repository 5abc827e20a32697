#include "graph/verify.h"

#include <algorithm>
#include <map>
#include <minnow/sdk/graph_view.hpp>
#include <set>
#include <vector>

#include "graph/op_rules.h"
#include "graph/print.h"
#include "graph/value_rules.h"

namespace minnow::graph {
namespace {

// Far more than any model has; below it, index arithmetic cannot overflow.
constexpr uint32_t kMaxCount = 1 << 24;

class Verifier {
 public:
  explicit Verifier(const mnw_graph& graph) : graph_(graph) {}

  Status Run();

 private:
  const mnw_value& value(mnw_id id) const { return *mnw_value_at(&graph_, id); }
  const mnw_node& node(uint32_t i) const { return *mnw_node_at(&graph_, i); }

  Status CheckArrays() const;
  Status CheckValue(const mnw_value& v) const;
  Status CheckInput(const mnw_value& v) const;
  Status CheckNodeHeader(const mnw_node& n) const;
  Status FindRootStates();
  Status CheckReads(const mnw_node& n) const;
  Status CheckShapes(const OpRule& rule, const mnw_node& n) const;
  Status TakeSites(const mnw_node& n);
  Status TakeOutputs(const mnw_node& n);
  Status CheckNode(const mnw_node& n);

  const mnw_graph& graph_;
  std::vector<uint8_t> ready_;               // by value: may be read by the next node
  std::map<uint32_t, mnw_id> newest_state_;  // by layer
  std::set<uint32_t> sites_;                 // of adapters, so far
};

template <class T>
bool BadArray(const void* data, uint32_t n, uint32_t stride) {
  return n > kMaxCount || stride < sizeof(T) || stride % alignof(T) != 0 ||
         (n > 0 && (!data || reinterpret_cast<uintptr_t>(data) % alignof(T) != 0));
}

Status Verifier::CheckArrays() const {
  if (graph_.size < sizeof(mnw_graph)) return Error(Code::kInvalid, "a graph of another header");
  if (BadArray<mnw_value>(graph_.values, graph_.n_values, graph_.value_stride)) {
    return Error(Code::kInvalid, "{} values, {} bytes apart, are no array of values",
                 graph_.n_values, graph_.value_stride);
  }
  if (BadArray<mnw_node>(graph_.nodes, graph_.n_nodes, graph_.node_stride)) {
    return Error(Code::kInvalid, "{} nodes, {} bytes apart, are no array of nodes", graph_.n_nodes,
                 graph_.node_stride);
  }
  return {};
}

Status Verifier::CheckInput(const mnw_value& v) const {
  if (!InputName(v.role)) return Error(Code::kInvalid, "there is no input {}", v.role);
  if (v.role == MNW_INPUT_BOUNDARY) return {};
  const bool table = v.role == MNW_INPUT_PAGES;
  const Dims want = InputDims(v.role, v.dim[0]);
  if (v.type != MNW_TYPE_I32 || !std::equal(want.begin(), want.end(), v.dim) ||
      (table && v.dim[0] < 1)) {
    return Error(Code::kInvalid, "input {} is {}", InputName(v.role), PrintShape(v));
  }
  return {};
}

Status Verifier::CheckValue(const mnw_value& v) const {
  if (v.size < sizeof v || v.size > graph_.value_stride) {
    return Error(Code::kInvalid, "its size is {}", v.size);
  }
  if (v.kind > MNW_KIND_VIEW) return Error(Code::kInvalid, "there is no kind {}", v.kind);
  if (v.kind == MNW_KIND_STATE) {
    const bool whole = v.dim[0] > 0 && v.dim[1] > 0 && v.dim[2] > 0 && v.dim[3] == 1;
    if (v.type != MNW_TYPE_NONE || !whole) {
      return Error(Code::kInvalid, "a state has no type, and dims k_dim, v_dim, n_kv_heads, 1");
    }
    return {};
  }
  Dims dims;
  std::copy(v.dim, v.dim + 4, dims.begin());
  MNW_TRY(CheckForm(v.type, dims));
  if (v.kind == MNW_KIND_VIEW) return {};  // CheckView follows when all bases are known to be sound
  if (v.kind == MNW_KIND_WEIGHT) {
    if (!v.name) return Error(Code::kInvalid, "a weight needs a name");
    if (*std::min_element(v.dim, v.dim + 4) < 0) {
      return Error(Code::kInvalid, "a weight's size depends on the step");
    }
  }
  const auto strides = PackedStrides(v.type, dims);
  if (!std::equal(strides.begin(), strides.end(), v.stride)) {
    return Error(Code::kInvalid, "it is not packed");
  }
  if (v.kind == MNW_KIND_INPUT) return CheckInput(v);
  return {};
}

Status Verifier::CheckNodeHeader(const mnw_node& n) const {
  if (n.size < sizeof n || n.size > graph_.node_stride) {
    return Error(Code::kInvalid, "its size is {}", n.size);
  }
  const OpRule* rule = FindOp(n.op);
  if (!rule) return Error(Code::kInvalid, "{} is no op", n.op);
  if (n.n_in > MNW_MAX_INPUTS) return Error(Code::kInvalid, "it has {} inputs", n.n_in);
  if (n.n_out != rule->n_out) {
    return Error(Code::kInvalid, "it has {} outputs, needs {}", n.n_out, rule->n_out);
  }
  for (int i = 0; i < n.n_in; ++i) {
    if (n.in[i] != MNW_NONE && n.in[i] >= graph_.n_values) {
      return Error(Code::kInvalid, "input {}: there is no value %{}", i, n.in[i]);
    }
  }
  for (int i = 0; i < n.n_out; ++i) {
    if (n.out[i] >= graph_.n_values) {
      return Error(Code::kInvalid, "output {}: there is no value %{}", i, n.out[i]);
    }
  }
  return {};
}

// A state that no node makes is the state before the step, or what an earlier partition left.
Status Verifier::FindRootStates() {
  std::vector<uint8_t> made(graph_.n_values, 0);
  for (uint32_t i = 0; i < graph_.n_nodes; ++i) {
    for (int j = 0; j < node(i).n_out; ++j) made[node(i).out[j]] = 1;
  }
  for (mnw_id id = 0; id < graph_.n_values; ++id) {
    if (value(id).kind != MNW_KIND_STATE || made[id]) continue;
    const auto [it, fresh] = newest_state_.emplace(value(id).index, id);
    if (!fresh) {
      return Error(Code::kInvalid, "value %{}: the state of layer {} is %{} already", id,
                   value(id).index, it->second);
    }
    ready_[id] = 1;
  }
  return {};
}

Status Verifier::CheckReads(const mnw_node& n) const {
  for (int i = 0; i < n.n_in; ++i) {
    if (n.in[i] == MNW_NONE) continue;
    const mnw_value& v = value(n.in[i]);
    const mnw_id base = v.kind == MNW_KIND_VIEW ? v.view_of : n.in[i];
    if (!ready_[base]) {
      return Error(Code::kInvalid, "it reads %{} before anything made it", n.in[i]);
    }
    if (v.kind != MNW_KIND_STATE) continue;
    const mnw_id newest = newest_state_.at(v.index);
    if (newest != n.in[i]) {
      return Error(Code::kInvalid, "it reads %{}, but the state of layer {} is %{} by then",
                   n.in[i], v.index, newest);
    }
  }
  return {};
}

Status Verifier::CheckShapes(const OpRule& rule, const mnw_node& n) const {
  std::vector<const mnw_value*> in;
  for (int i = 0; i < n.n_in; ++i) in.push_back(n.in[i] == MNW_NONE ? nullptr : &value(n.in[i]));
  MNW_ASSIGN(const auto shapes, InferShapes(rule, in, n.params, n.params_size));
  for (int i = 0; i < n.n_out; ++i) {
    const mnw_value& v = value(n.out[i]);
    if (v.type != shapes[i].type ||
        !std::equal(shapes[i].dim.begin(), shapes[i].dim.end(), v.dim)) {
      mnw_value want = v;
      want.type = shapes[i].type;
      std::copy(shapes[i].dim.begin(), shapes[i].dim.end(), want.dim);
      return Error(Code::kInvalid, "its output %{} is {}, must be {}", n.out[i], PrintShape(v),
                   PrintShape(want));
    }
  }
  return {};
}

Status Verifier::TakeSites(const mnw_node& n) {
  Status status;
  sdk::ForEachSite(n, [&](uint32_t site, uint32_t) {
    if (site == MNW_NONE) {
      status = Error(Code::kInvalid, "it has adapters, but no site");
    } else if (!sites_.insert(site).second) {
      status = Error(Code::kInvalid, "site {} belongs to another matrix", site);
    }
  });
  return status;
}

Status Verifier::TakeOutputs(const mnw_node& n) {
  for (int i = 0; i < n.n_out; ++i) {
    const mnw_value& v = value(n.out[i]);
    const bool state = v.type == MNW_TYPE_NONE;
    if (state ? v.kind != MNW_KIND_STATE : v.kind != MNW_KIND_TEMP && v.kind != MNW_KIND_OUTPUT) {
      return Error(Code::kInvalid, "its output %{} is of kind {}", n.out[i], v.kind);
    }
    if (ready_[n.out[i]]) {
      return Error(Code::kInvalid, "its output %{} has been made already", n.out[i]);
    }
    ready_[n.out[i]] = 1;
    if (!state) continue;
    for (int j = 0; j < n.n_in; ++j) {
      if (n.in[j] == MNW_NONE || value(n.in[j]).kind != MNW_KIND_STATE) continue;
      if (value(n.in[j]).index != v.index) {
        return Error(Code::kInvalid, "it makes the state of layer {} from that of layer {}",
                     v.index, value(n.in[j]).index);
      }
    }
    newest_state_[v.index] = n.out[i];
  }
  return {};
}

Status Verifier::CheckNode(const mnw_node& n) {
  MNW_TRY(CheckReads(n));
  MNW_TRY(CheckShapes(*FindOp(n.op), n));
  MNW_TRY(TakeSites(n));
  return TakeOutputs(n);
}

Status Verifier::Run() {
  MNW_TRY(CheckArrays());
  ready_.assign(graph_.n_values, 0);
  for (mnw_id id = 0; id < graph_.n_values; ++id) {
    if (Status s = CheckValue(value(id)); !s.ok()) {
      return std::move(s).Annotate(fmt::format("value %{}", id));
    }
    ready_[id] = value(id).kind == MNW_KIND_INPUT || value(id).kind == MNW_KIND_WEIGHT;
  }
  for (mnw_id id = 0; id < graph_.n_values; ++id) {
    const mnw_value& v = value(id);
    if (v.kind != MNW_KIND_VIEW) continue;
    Status s = v.view_of < graph_.n_values
                   ? CheckView(value(v.view_of), v)
                   : Error(Code::kInvalid, "a view of %{}, which is not there", v.view_of);
    if (!s.ok()) return std::move(s).Annotate(fmt::format("value %{}", id));
  }

  const auto name_node = [this](Status s, uint32_t i) {
    const OpRule* rule = FindOp(node(i).op);
    return std::move(s).Annotate(fmt::format("node {} ({})", i, rule ? rule->name : "?"));
  };
  for (uint32_t i = 0; i < graph_.n_nodes; ++i) {
    if (Status s = CheckNodeHeader(node(i)); !s.ok()) return name_node(std::move(s), i);
  }
  MNW_TRY(FindRootStates());
  for (uint32_t i = 0; i < graph_.n_nodes; ++i) {
    if (Status s = CheckNode(node(i)); !s.ok()) return name_node(std::move(s), i);
  }
  for (mnw_id id = 0; id < graph_.n_values; ++id) {
    const uint32_t kind = value(id).kind;
    if ((kind == MNW_KIND_TEMP || kind == MNW_KIND_OUTPUT) && !ready_[id]) {
      return Error(Code::kInvalid, "value %{}: no node makes it", id);
    }
  }
  return {};
}

}  // namespace

Status Verify(const mnw_graph* graph) {
  if (!graph) return Error(Code::kInvalid, "there is no graph");
  return Verifier(*graph).Run();
}

}  // namespace minnow::graph
