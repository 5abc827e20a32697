// Steps that work row by row: get_rows, norms, softmax, reductions, elementwise, copy, concat,
// top_k, pool.
#include <algorithm>
#include <cstring>

#include "minnow/sdk/half.h"
#include "plan.h"

namespace minnow::cpu {

namespace {

// A step whose rows are independent: every thread takes its share of `rows(plan)` and calls one
// function.
class RowStep final : public Step {
 public:
  using RowFn = void (*)(const mnw_plan& plan, const mnw_node& node, int64_t row);
  RowStep(const mnw_node& node, RowFn fn) : node_(node), fn_(fn) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Range r = Share(plan.tensor(node_.out[0]).rows(), ith, plan.context->team.size());
    for (int64_t i = r.begin; i < r.end; ++i) fn_(plan, node_, i);
  }

 private:
  const mnw_node& node_;
  RowFn fn_;
};

void GetRows(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor y = plan.tensor(node.out[0]);
  const int64_t id = plan.tensor(node.in[1]).i32()[i];
  if (const Weight* table = plan.weights[node.in[0]]) {
    table->Row(plan.context->host, id, y.row(i));
  } else {
    std::memcpy(y.row(i), plan.tensor(node.in[0]).row(id),
                static_cast<size_t>(y.dim[0]) * sizeof(float));
  }
}

void Norm(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const auto p = Params<mnw_norm_params>(node);
  const VectorKernels& v = plan.context->vector;
  const float* w = plan.vector(InputOf(node, 1));
  switch (node.op) {
    case MNW_OP_rms_norm:
      return v.rms_norm(x.row(i), w, p.weight_offset, p.eps, x.dim[0], y.row(i));
    case MNW_OP_layer_norm:
      return v.layer_norm(x.row(i), w, plan.vector(InputOf(node, 2)), p.weight_offset, p.eps,
                          x.dim[0], y.row(i));
    default:
      return v.l2_norm(x.row(i), p.eps, x.dim[0], y.row(i));
  }
}

void AddNorm(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), r = plan.tensor(node.in[1]);
  float *sum = plan.tensor(node.out[0]).row(i), *y = plan.tensor(node.out[1]).row(i);
  const auto p = Params<mnw_norm_params>(node);
  const VectorKernels& v = plan.context->vector;
  v.binary(Binary::kAdd, x.row(i), r.row(i), x.dim[0], sum);
  if (p.layer) {
    v.layer_norm(sum, plan.vector(InputOf(node, 2)), plan.vector(InputOf(node, 3)), p.weight_offset,
                 p.eps, x.dim[0], y);
  } else {
    v.rms_norm(sum, plan.vector(InputOf(node, 2)), p.weight_offset, p.eps, x.dim[0], y);
  }
}

void BinaryOp(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor a = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const Binary op = node.op == MNW_OP_add   ? Binary::kAdd
                    : node.op == MNW_OP_sub ? Binary::kSub
                    : node.op == MNW_OP_mul ? Binary::kMul
                                            : Binary::kDiv;
  // The row of b that belongs to row i of a, where its dims of 1 repeat.
  const mnw_value& bv = plan.value(node.in[1]);
  const float* b_data = plan.vector(node.in[1]);
  const int64_t index[3] = {i % a.dim[1], i / a.dim[1] % a.dim[2], i / (a.dim[1] * a.dim[2])};
  int64_t offset = 0;
  for (int d = 0; d < 3; ++d) offset += bv.dim[d + 1] == 1 ? 0 : index[d] * bv.stride[d + 1];
  const float* b = reinterpret_cast<const float*>(reinterpret_cast<const char*>(b_data) + offset);
  if (bv.dim[0] == 1 && a.dim[0] != 1) {
    plan.context->vector.binary_scalar(op, a.row(i), b[0], a.dim[0], y.row(i));
  } else {
    plan.context->vector.binary(op, a.row(i), b, a.dim[0], y.row(i));
  }
}

bool ToUnary(uint32_t op, Unary* out) {
  switch (op) {
    case MNW_OP_silu:
      *out = Unary::kSilu;
      return true;
    case MNW_OP_gelu:
      *out = Unary::kGelu;
      return true;
    case MNW_OP_gelu_erf:
      *out = Unary::kGeluErf;
      return true;
    case MNW_OP_relu:
      *out = Unary::kRelu;
      return true;
    case MNW_OP_sigmoid:
      *out = Unary::kSigmoid;
      return true;
    case MNW_OP_tanh:
      *out = Unary::kTanh;
      return true;
    case MNW_OP_exp:
      *out = Unary::kExp;
      return true;
    case MNW_OP_softplus:
      *out = Unary::kSoftplus;
      return true;
    case MNW_OP_neg:
      *out = Unary::kNeg;
      return true;
    case MNW_OP_sqr:
      *out = Unary::kSqr;
      return true;
    case MNW_OP_sqrt:
      *out = Unary::kSqrt;
      return true;
  }
  return false;
}

void UnaryOp(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  Unary op{};
  ToUnary(node.op, &op);
  plan.context->vector.unary(op, x.row(i), x.dim[0], y.row(i));
}

void MapWithParams(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const VectorKernels& v = plan.context->vector;
  if (node.op == MNW_OP_scale) {
    const auto p = Params<mnw_scale_params>(node);
    v.scale(x.row(i), p.scale, p.bias, x.dim[0], y.row(i));
  } else if (node.op == MNW_OP_softcap) {
    v.softcap(x.row(i), Params<mnw_softcap_params>(node).cap, x.dim[0], y.row(i));
  } else {
    const auto p = Params<mnw_clamp_params>(node);
    v.clamp(x.row(i), p.lo, p.hi, x.dim[0], y.row(i));
  }
}

void Reduce(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const VectorKernels& v = plan.context->vector;
  switch (node.op) {
    case MNW_OP_softmax:
      return v.softmax(x.row(i), x.dim[0], y.row(i));
    case MNW_OP_sum_row:
      *y.row(i) = v.sum(x.row(i), x.dim[0]);
      return;
    default:
      *y.row(i) = v.max(x.row(i), x.dim[0]);
      return;
  }
}

void TopK(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), values = plan.tensor(node.out[0]),
               ids = plan.tensor(node.out[1]);
  const float* row = x.row(i);
  std::vector<int32_t> order(static_cast<size_t>(x.dim[0]));
  for (size_t j = 0; j < order.size(); ++j) order[j] = static_cast<int32_t>(j);
  const int64_t k = values.dim[0];
  std::partial_sort(order.begin(), order.begin() + k, order.end(), [row](int32_t a, int32_t b) {
    return row[a] > row[b] || (row[a] == row[b] && a < b);
  });
  for (int64_t j = 0; j < k; ++j) {
    values.row(i)[j] = row[order[static_cast<size_t>(j)]];
    reinterpret_cast<int32_t*>(ids.row(i))[j] = order[static_cast<size_t>(j)];
  }
}

// Gathers a strided row and writes it as F32, F16, BF16 or I32.
void Copy(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const mnw_value &from = plan.value(node.in[0]), &to = plan.value(node.out[0]);
  const char* src = reinterpret_cast<const char*>(x.row(i));
  char* dst = reinterpret_cast<char*>(y.row(i));
  for (int64_t j = 0; j < x.dim[0]; ++j) {
    uint32_t bits;
    std::memcpy(&bits, src + j * from.stride[0], sizeof bits);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    if (to.type == MNW_TYPE_F16 || to.type == MNW_TYPE_BF16) {
      const uint16_t h = to.type == MNW_TYPE_F16 ? F32ToF16(value) : F32ToBF16(value);
      std::memcpy(dst + j * 2, &h, sizeof h);
    } else {
      std::memcpy(dst + j * 4, &bits, sizeof bits);
    }
  }
}

void Concat(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor a = plan.tensor(node.in[0]), b = plan.tensor(node.in[1]),
               y = plan.tensor(node.out[0]);
  std::memcpy(y.row(i), a.row(i), static_cast<size_t>(a.dim[0]) * sizeof(float));
  std::memcpy(y.row(i) + a.dim[0], b.row(i), static_cast<size_t>(b.dim[0]) * sizeof(float));
}

// One vector for sequence i from its rows of this step, in row order.
void Pool(const mnw_plan& plan, const mnw_node& node, int64_t i) {
  const Tensor x = plan.tensor(node.in[0]), y = plan.tensor(node.out[0]);
  const int32_t* seq = plan.tensor(node.in[1]).i32();
  const auto p = Params<mnw_pool_params>(node);
  const VectorKernels& v = plan.context->vector;
  const int64_t d = x.dim[0];
  float* out = y.row(i);
  int64_t n = 0;
  std::fill_n(out, d, 0.0f);
  for (int64_t t = 0; t < x.rows(); ++t) {
    if (seq[t] != i) continue;
    if (p.kind == MNW_POOL_MEAN) {
      v.binary(Binary::kAdd, out, x.row(t), d, out);
    } else if (p.kind == MNW_POOL_LAST || n == 0) {
      std::copy_n(x.row(t), d, out);
    }
    ++n;
  }
  if (p.kind == MNW_POOL_MEAN && n > 0) v.scale(out, 1.0f / static_cast<float>(n), 0.0f, d, out);
  if (p.l2_normalize) v.l2_norm(out, 1e-12f, d, out);
}

}  // namespace

std::unique_ptr<Step> MakeRowStep(PlanBuilder&, const mnw_node& node) {
  const auto step = [&](RowStep::RowFn fn) { return std::make_unique<RowStep>(node, fn); };
  Unary unary;
  if (ToUnary(node.op, &unary)) return step(UnaryOp);
  switch (node.op) {
    case MNW_OP_get_rows:
      return step(GetRows);
    case MNW_OP_rms_norm:
    case MNW_OP_layer_norm:
    case MNW_OP_l2_norm:
      return step(Norm);
    case MNW_OP_add_norm:
      return step(AddNorm);
    case MNW_OP_add:
    case MNW_OP_sub:
    case MNW_OP_mul:
    case MNW_OP_div:
      return step(BinaryOp);
    case MNW_OP_scale:
    case MNW_OP_softcap:
    case MNW_OP_clamp:
      return step(MapWithParams);
    case MNW_OP_softmax:
    case MNW_OP_sum_row:
    case MNW_OP_max_row:
      return step(Reduce);
    case MNW_OP_top_k:
      return step(TopK);
    case MNW_OP_copy:
      return step(Copy);
    case MNW_OP_concat:
      return step(Concat);
    case MNW_OP_pool:
      return step(Pool);
  }
  return nullptr;
}

}  // namespace minnow::cpu
