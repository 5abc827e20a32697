// What the CPU takes: every op, with the few restrictions named here.
#include "plan.h"

namespace minnow::cpu {

namespace {

using sdk::GraphView;

// Which inputs are packed matrices; the rest are activations, tables and vectors.
const char* RefuseInput(const GraphView& g, const mnw_node& node, uint32_t i,
                        const LinearKernels& kernels) {
  const mnw_value& v = g.value(node.in[i]);
  if (v.kind == MNW_KIND_STATE) return nullptr;
  const mnw_value& base = g.value(g.Base(node.in[i]));
  if (base.kind == MNW_KIND_WEIGHT && v.kind == MNW_KIND_VIEW) return "a view of a weight";
  if (base.kind == MNW_KIND_WEIGHT) {
    if (sdk::BlockOf(v.type).elements == 0) return "a weight type this backend does not know";
    if (v.dim[1] > 1 && !kernels.Find(v.type)) return "a weight type without a kernel";
    return nullptr;
  }
  if (v.type != MNW_TYPE_F32 && v.type != MNW_TYPE_I32) return "activations other than f32";
  if (v.stride[0] != 4 && node.op != MNW_OP_copy) return "elements of a row are not adjacent";
  return nullptr;
}

const char* Refuse(const GraphView& g, const mnw_node& node, const mnw_context& c) {
  for (uint32_t i = 0; i < node.n_in; ++i) {
    if (node.in[i] == MNW_NONE) continue;
    if (const char* reason = RefuseInput(g, node, i, c.linear)) return reason;
  }
  for (uint32_t i = 0; i < node.n_out; ++i) {
    const mnw_value& v = g.value(node.out[i]);
    const bool half = node.op == MNW_OP_copy && (v.type == MNW_TYPE_F16 || v.type == MNW_TYPE_BF16);
    if (v.kind != MNW_KIND_STATE && v.type != MNW_TYPE_F32 && v.type != MNW_TYPE_I32 && !half) {
      return "results other than f32";
    }
  }
  const auto weight_at = [&](uint32_t i) { return g.value(node.in[i]).kind == MNW_KIND_WEIGHT; };
  switch (node.op) {
    case MNW_OP_linear:
    case MNW_OP_qkv: {
      const uint32_t adapter = node.op == MNW_OP_qkv ? 7 : 3;
      if (adapter < node.n_in && node.in[adapter] != MNW_NONE) return "adapters";
      return weight_at(1) ? nullptr : "a matrix that is no weight";
    }
    case MNW_OP_glu_ffn:
      return node.n_in > 4 && node.in[4] != MNW_NONE ? "adapters" : nullptr;
    case MNW_OP_lm_head:
    case MNW_OP_linear_id:
      return weight_at(1) ? nullptr : "a matrix that is no weight";
  }
  return nullptr;
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
    out[i] = {reason ? 0 : i + 1, 1.0f, reason};
  }
  return MNW_OK;
}

}  // namespace minnow::cpu
