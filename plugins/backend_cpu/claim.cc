// What the CPU takes: every op, with the few restrictions named here.
#include "plan.h"

namespace minnow::cpu {

namespace {

using sdk::GraphView;

const char* RefuseWeight(const mnw_node& node, const mnw_value& v, const mnw_host& host) {
  if (v.kind == MNW_KIND_VIEW && (v.type != MNW_TYPE_F32 || v.stride[0] != 4)) {
    return "a view of a weight that is not rows of f32";
  }
  if (sdk::BlockOf(v.type).elements == 0) return "a weight type this backend does not know";
  float nothing = 0;
  if (host.to_f32(host.self, v.type, &nothing, &nothing, 0) != MNW_OK) {
    return "a weight of integers";
  }
  const bool converted = v.type != MNW_TYPE_F32;
  return node.op == MNW_OP_copy && converted ? "a copy of a weight that is not f32" : nullptr;
}

const char* RefuseInput(const GraphView& g, const mnw_node& node, uint32_t i,
                        const mnw_host& host) {
  const mnw_value& v = g.value(node.in[i]);
  if (v.kind == MNW_KIND_STATE) return nullptr;
  if (g.value(g.Base(node.in[i])).kind == MNW_KIND_WEIGHT) {
    if (v.kind == MNW_KIND_VIEW && (IsMatrixInput(node, i) || node.op == MNW_OP_get_rows)) {
      return "a view of a matrix";
    }
    return RefuseWeight(node, v, host);
  }
  if (IsMatrixInput(node, i)) return "a matrix that is no weight";
  if (node.op == MNW_OP_rope && i == 2) return "rope factors that are no weight";
  if (node.op == MNW_OP_get_rows && i == 0 && v.type == MNW_TYPE_I32) return "a table of integers";
  if (v.type != MNW_TYPE_F32 && v.type != MNW_TYPE_I32) return "activations other than f32";
  if (v.stride[0] != 4 && node.op != MNW_OP_copy) return "elements of a row are not adjacent";
  return nullptr;
}

const char* RefuseOutput(const mnw_node& node, const mnw_value& from, const mnw_value& to) {
  if (to.kind == MNW_KIND_STATE) return nullptr;
  if (node.op == MNW_OP_copy) {
    if ((from.type == MNW_TYPE_I32) != (to.type == MNW_TYPE_I32)) {
      return "a conversion between integers and floats";
    }
    if (to.type == MNW_TYPE_F16 || to.type == MNW_TYPE_BF16) return nullptr;
  }
  return to.type == MNW_TYPE_F32 || to.type == MNW_TYPE_I32 ? nullptr : "results other than f32";
}

// True if row r of all rows lies r * stride[1] behind the first.
bool RowsAreEven(const mnw_value& v) {
  return (v.dim[2] == 1 || v.stride[2] == v.dim[1] * v.stride[1]) &&
         (v.dim[3] == 1 || v.stride[3] == v.dim[2] * v.stride[2]);
}

const char* RefuseAdapter(const GraphView& g, const mnw_node& node) {
  const mnw_id slots = sdk::ForEachSite(node, [](uint32_t, uint32_t) {});
  if (slots == MNW_NONE) return nullptr;
  if (g.value(slots).kind != MNW_KIND_INPUT) return "adapter slots that are no input";
  const mnw_value& x = g.value(node.in[0]);
  return x.dim[2] * x.dim[3] != 1 ? "an adapter for rows of more than one dim" : nullptr;
}

const char* Refuse(const GraphView& g, const mnw_node& node, const mnw_context& c) {
  for (uint32_t i = 0; i < node.n_in; ++i) {
    if (node.in[i] == MNW_NONE) continue;
    if (const char* reason = RefuseInput(g, node, i, *c.host)) return reason;
  }
  for (uint32_t i = 0; i < node.n_out; ++i) {
    const char* reason = RefuseOutput(node, g.value(node.in[0]), g.value(node.out[i]));
    if (reason) return reason;
  }
  if (const char* reason = RefuseAdapter(g, node)) return reason;
  switch (node.op) {
    case MNW_OP_linear:
      return RowsAreEven(g.value(node.in[0])) ? nullptr : "rows at uneven distances";
    case MNW_OP_seq_attention: {
      const auto p = Params<mnw_attention_params>(node);
      const bool plain = p.window == 0 && p.softcap <= 0 && p.alibi_max_bias <= 0;
      return plain ? nullptr : "a window, soft cap or ALiBi without a cache";
    }
  }
  return nullptr;
}

// Estimated microseconds of a step of one row: an op's own cost, and the bytes that it touches at a
// speed that two cores get from memory. Of a table one row is read, of experts about one.
float Cost(const GraphView& g, const mnw_node& node) {
  constexpr double kOp = 0.3, kBytes = 1e4;
  constexpr int64_t kOne[MNW_N_SYMBOLS] = {1, 1, 1};
  int64_t bytes = 0;
  const auto add = [&](mnw_id id, bool table) {
    if (id == MNW_NONE || g.value(id).kind == MNW_KIND_STATE) return;
    const mnw_value& v = g.value(id);
    const bool weight = g.value(g.Base(id)).kind == MNW_KIND_WEIGHT;
    bytes += table ? sdk::RowBytes(v) : sdk::Bytes(v, kOne) / (weight ? v.dim[2] : 1);
  };
  for (int i = 0; i < node.n_in; ++i) add(node.in[i], node.op == MNW_OP_get_rows && i == 0);
  for (int i = 0; i < node.n_out; ++i) add(node.out[i], false);
  return static_cast<float>(kOp + static_cast<double>(bytes) / kBytes);
}

bool Known(uint32_t op) {
  switch (op) {
#define MNW_OP(name, id, cls, min_in, max_in, n_out, params) case id:
#include "minnow/abi/ops.def"
#undef MNW_OP
    return true;
  }
  return false;
}

}  // namespace

int Claim(mnw_context* c, const mnw_graph* g, mnw_claim* out, mnw_error*) {
  const GraphView view(*g);
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    const mnw_node& node = view.node(i);
    const char* reason = Known(node.op) ? Refuse(view, node, *c) : "an op newer than this backend";
    out[i] = {reason ? 0 : i + 1, reason ? 0.0f : Cost(view, node), reason};
  }
  return MNW_OK;
}

}  // namespace minnow::cpu
