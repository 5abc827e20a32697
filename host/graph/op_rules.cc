#include "graph/op_rules.h"

#include <type_traits>

namespace minnow::graph {
namespace {

constexpr uint32_t kMaxParamsSize = 4096;  // whatever a newer header appends stays far below

template <class P>
constexpr uint32_t kParamsSize = std::is_same_v<P, mnw_no_params> ? 0 : sizeof(P);

#define MNW_EXPAND_CORE(name) nullptr
#define MNW_EXPAND_STATE(name) nullptr
#define MNW_EXPAND_FUSED(name) &Expand<MNW_OP_##name>
constexpr OpRule kRules[] = {
#define MNW_OP(name, id, cls, min_in, max_in, n_out, params) \
  {MNW_OP_##name,                                            \
   #name,                                                    \
   MNW_CLASS_##cls,                                          \
   min_in,                                                   \
   max_in,                                                   \
   n_out,                                                    \
   kParamsSize<params>,                                      \
   &Shape<MNW_OP_##name>,                                    \
   MNW_EXPAND_##cls(name),                                   \
   [](const mnw_node& node) { return Describe(sdk::Params<params>(node)); }},
#include <minnow/abi/ops.def>
#undef MNW_OP
};

}  // namespace

std::string Describe(const mnw_no_params&) { return ""; }

std::span<const OpRule> OpRules() { return kRules; }

const OpRule* FindOp(uint32_t op) {
  for (const OpRule& rule : kRules) {
    if (static_cast<uint32_t>(rule.op) == op) return &rule;
  }
  return nullptr;
}

Result<std::array<OutShape, MNW_MAX_OUTPUTS>> InferShapes(const OpRule& rule,
                                                          std::span<const mnw_value* const> in,
                                                          const void* params,
                                                          uint32_t params_size) {
  ShapeCall call(in, params, params_size);
  if (in.size() < rule.min_in || in.size() > rule.max_in) {
    return call.Refuse("it has {} inputs, needs {} to {}", in.size(), rule.min_in, rule.max_in);
  }
  const uint32_t has = params ? params_size : 0;
  if (has < rule.params_size || has > kMaxParamsSize) {
    return call.Refuse("its parameters have {} bytes, need {}", has, rule.params_size);
  }
  MNW_TRY(rule.shape(call));
  return call.out;
}

Outs DecomposeCall::Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params,
                         uint32_t params_size) {
  if (!status_.ok()) return kNoOuts;
  Result<Outs> outs = draft_.Emit(op, node_.layer, {in.begin(), in.size()}, params, params_size);
  if (!outs.ok()) {
    status_ = outs.status();
    return kNoOuts;
  }
  return *outs;
}

mnw_id DecomposeCall::Reshape(mnw_id of, const Dims& dims) {
  if (!status_.ok()) return MNW_NONE;
  return View(of, dims, PackedStrides(draft_.value(of).type, dims), 0);
}

mnw_id DecomposeCall::View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides,
                           uint64_t offset) {
  if (!status_.ok()) return MNW_NONE;
  Result<mnw_id> view = draft_.AddView(of, dims, strides, offset);
  if (!view.ok()) {
    status_ = view.status();
    return MNW_NONE;
  }
  return *view;
}

}  // namespace minnow::graph
