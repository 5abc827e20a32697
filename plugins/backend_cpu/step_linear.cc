// Steps of the linear family: linear, qkv, glu_ffn, lm_head, linear_id and moe_ffn.
#include <algorithm>
#include <span>

#include "plan.h"
#include "site_deltas.h"

namespace minnow::cpu {

namespace {

// Output columns of a tile that a thread computes before it does anything else with them: the gate
// and up tiles of 512 rows (2 x 256 KiB) then stay in L2 for the activation.
constexpr int64_t kTilePanels = 8;

// The same where rows have deltas, of which the next adapter's begin somewhere else in memory after
// each tile: the fewer rows, the longer the stretches. No more sums than 64 rows of a plain tile.
int64_t DeltaTilePanels(int64_t n_rows, int64_t max_rows) {
  return kTilePanels * std::max<int64_t>(1, std::min<int64_t>(64, max_rows) / n_rows);
}

// The input of one or more linears, and who quantizes it.
class LinearInput {
 public:
  LinearInput(PlanBuilder& b, mnw_id x, std::span<const mnw_id> weights) : x_(x) {
    const bool quantized = std::any_of(weights.begin(), weights.end(), [&](mnw_id w) {
      return b.plan().weight(w).quantized_input();
    });
    if (quantized) index_ = b.Quantized(x, &first_);
  }

  // Every thread calls this; ends with a barrier where there was something to do.
  Activations Prepare(const mnw_plan& plan, int ith) const {
    const Tensor x = plan.tensor(x_);
    Activations a;
    a.f32 = x.f32();
    a.ld = x.stride[1] / static_cast<int64_t>(sizeof(float));
    if (index_ < 0) return a;
    const QuantizedSlot& slot = plan.quantized[static_cast<size_t>(index_)];
    int8_t* q = reinterpret_cast<int8_t*>(plan.scratch(slot.q));
    float* scale = reinterpret_cast<float*>(plan.scratch(slot.scale));
    int16_t* sum = reinterpret_cast<int16_t*>(plan.scratch(slot.sum));
    if (first_) {
      const int64_t blocks = slot.k / kActBlock;
      const Range r = Share(x.rows(), ith, plan.context->team.size());
      for (int64_t t = r.begin; t < r.end; ++t) {
        plan.context->linear.quantize_row(x.row(t), slot.k, q + t * slot.k, scale + t * blocks,
                                          sum + 2 * t * blocks);
      }
      plan.context->team.Barrier();
    }
    a.q = q;
    a.scale = scale;
    a.sum = sum;
    return a;
  }

 private:
  mnw_id x_;
  int32_t index_ = -1;
  bool first_ = false;
};

// y = x W^T (+ deltas) for input `matrix` of a node; `ith` does its share of the panels.
void MultiplyShare(const mnw_plan& plan, int ith, const Weight& w, const Activations& x,
                   int64_t n_rows, const SiteDeltas& deltas, uint32_t matrix, float* y,
                   int64_t ldy) {
  const Range r = Share(w.panels(), ith, plan.context->team.size());
  if (n_rows == 0) return;
  // With deltas tile by tile, so that the sums they continue are still in the cache.
  const int64_t step = deltas.Active(plan) ? DeltaTilePanels(n_rows, 64) : r.end - r.begin;
  for (int64_t p0 = r.begin; p0 < r.end; p0 += step) {
    const int64_t p1 = std::min(p0 + step, r.end), n0 = p0 * kPanel;
    w.Multiply(*plan.context, ith, 0, p0, p1, x, n_rows, y + n0, ldy);
    deltas.Add(plan, matrix, 0, p0, p1, w.n - n0, y + n0, ldy);
  }
}

// y += bias, `ith`'s share of the panels.
void AddBias(const mnw_plan& plan, int ith, const Weight& w, int64_t n_rows, const float* bias,
             float* y, int64_t ldy) {
  const Range r = Share(w.panels(), ith, plan.context->team.size());
  if (!bias || r.begin == r.end) return;
  const int64_t n0 = r.begin * kPanel, n = std::min(r.end * kPanel, w.n) - n0;
  for (int64_t t = 0; t < n_rows; ++t) {
    plan.context->vector.binary(Binary::kAdd, y + t * ldy + n0, bias + n0, n, y + t * ldy + n0);
  }
}

// linear and qkv: up to three weights with one input.
class LinearStep final : public Step {
 public:
  LinearStep(PlanBuilder& b, const mnw_node& node)
      : input_(b, node.in[0], std::span(node.in + 1, node.op == MNW_OP_qkv ? 3 : 1)),
        deltas_(b, node, {1, 2, 3}) {
    const uint32_t n = node.op == MNW_OP_qkv ? 3 : 1;
    for (uint32_t i = 0; i < n; ++i) {
      items_.push_back({1 + i, node.in[1 + i], InputOf(node, 1 + n + i), node.out[i]});
    }
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Activations x = input_.Prepare(plan, ith);
    deltas_.Project(plan, ith, x);
    for (const Item& item : items_) {
      const Tensor y = plan.tensor(item.out);
      const Weight& w = plan.weight(item.weight);
      const int64_t ldy = y.stride[1] / static_cast<int64_t>(sizeof(float));
      MultiplyShare(plan, ith, w, x, y.rows(), deltas_, item.input, y.f32(), ldy);
      AddBias(plan, ith, w, y.rows(), plan.vector(item.bias), y.f32(), ldy);
    }
  }

 private:
  struct Item {
    uint32_t input;
    mnw_id weight, bias, out;
  };
  LinearInput input_;
  SiteDeltas deltas_;
  std::vector<Item> items_;
};

class LmHeadStep final : public Step {
 public:
  LmHeadStep(PlanBuilder& b, const mnw_node& node)
      : node_(node),
        params_(Params<mnw_lm_head_params>(node)),
        input_(b, node.in[0], std::span(node.in + 1, 1)),
        deltas_(b, node, {1}) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Activations x = input_.Prepare(plan, ith);
    deltas_.Project(plan, ith, x);
    const Weight& w = plan.weight(node_.in[1]);
    const Tensor y = plan.tensor(node_.out[0]);
    const VectorKernels& v = plan.context->vector;
    MultiplyShare(plan, ith, w, x, y.rows(), deltas_, 1, y.f32(), y.dim[0]);
    const Range r = Share(w.panels(), ith, plan.context->team.size());
    const int64_t n0 = r.begin * kPanel, n = std::min(r.end * kPanel, w.n) - n0;
    for (int64_t t = 0; t < y.rows() && n > 0; ++t) {
      float* row = y.row(t) + n0;
      if (params_.logit_scale != 1.0f) v.scale(row, params_.logit_scale, 0.0f, n, row);
      if (params_.softcap > 0.0f) v.softcap(row, params_.softcap, n, row);
    }
  }

 private:
  const mnw_node& node_;
  mnw_lm_head_params params_;
  LinearInput input_;
  SiteDeltas deltas_;
};

Unary ToUnary(uint32_t act) {
  switch (act) {
    case MNW_ACT_GELU:
      return Unary::kGelu;
    case MNW_ACT_GELU_ERF:
      return Unary::kGeluErf;
    case MNW_ACT_RELU:
      return Unary::kRelu;
    default:
      return Unary::kSilu;
  }
}

// down(act(gate x) * (up x)). The gated product never exists as a whole in f32 when down reads
// quantized input: each thread activates and quantizes its own columns tile by tile. A block of 32
// lies in one tile, since shares of the panels begin at even panels. A delta of down reads f32.
class GluStep final : public Step {
 public:
  GluStep(PlanBuilder& b, const mnw_node& node)
      : node_(node),
        act_(ToUnary(Params<mnw_glu_params>(node).act)),
        input_(b, node.in[0], std::span(node.in + 1, node.in[2] == MNW_NONE ? 1 : 2)),
        deltas_(b, node, {1, 2}),
        down_deltas_(b, node, {3}),
        max_rows_(sdk::Rows(b.plan().value(node.in[0]), b.plan().max)) {
    const mnw_plan& plan = b.plan();
    const Weight& down = plan.weight(node.in[3]);
    const size_t rows = static_cast<size_t>(max_rows_);
    const size_t f = static_cast<size_t>(down.k);
    quantize_ = down.quantized_input();
    if (quantize_) {
      q_ = b.Reserve(rows * f);
      scale_ = b.Reserve(rows * f / kActBlock * sizeof(float));
      sum_ = b.Reserve(rows * f / kActBlock * 2 * sizeof(int16_t));
    }
    const bool sites = sdk::ForEachSite(node, [](uint32_t, uint32_t) {}) != MNW_NONE;
    if (!quantize_ || sites) h_ = b.Reserve(rows * f * sizeof(float));
    const size_t tile = rows * kTilePanels * kPanel * sizeof(float);
    for (int i = 0; i < plan.context->team.size(); ++i) tiles_.push_back(b.Reserve(2 * tile));
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Activations x = input_.Prepare(plan, ith);
    deltas_.Project(plan, ith, x);
    const Weight& gate = plan.weight(node_.in[1]);
    const bool joint = node_.in[2] == MNW_NONE;
    const Weight& up = joint ? gate : plan.weight(node_.in[2]);
    const Weight& down = plan.weight(node_.in[3]);
    const Tensor y = plan.tensor(node_.out[0]);
    const int64_t n_rows = y.rows(), f = down.k;

    const Range r = Share((gate.panels() + 1) / 2, ith, plan.context->team.size());
    const int64_t last = std::min(2 * r.end, gate.panels());
    const int64_t tile =
        n_rows > 0 && deltas_.Active(plan) ? DeltaTilePanels(n_rows, max_rows_) : kTilePanels;
    for (int64_t p = 2 * r.begin; p < last; p += tile) {
      GateTile(plan, ith, gate, up, joint ? 1 : 0, x, n_rows, p, std::min(p + tile, last),
               tile * kPanel);
    }
    plan.context->team.Barrier();

    Activations h;
    h.f32 = reinterpret_cast<float*>(plan.scratch(h_));
    h.ld = f;
    if (quantize_) {
      h.q = reinterpret_cast<int8_t*>(plan.scratch(q_));
      h.scale = reinterpret_cast<float*>(plan.scratch(scale_));
      h.sum = reinterpret_cast<int16_t*>(plan.scratch(sum_));
    }
    down_deltas_.Project(plan, ith, h);
    MultiplyShare(plan, ith, down, h, n_rows, down_deltas_, 3, y.f32(),
                  y.stride[1] / static_cast<int64_t>(sizeof(float)));
  }

 private:
  // Panels [p0,p1) of gate and up for all rows, activated, into h; `ld` floats of a tile's row.
  void GateTile(const mnw_plan& plan, int ith, const Weight& gate, const Weight& up,
                int64_t up_part, const Activations& x, int64_t n_rows, int64_t p0, int64_t p1,
                int64_t ld) const {
    const int64_t f = gate.n, n0 = p0 * kPanel, n = std::min(p1 * kPanel, f) - n0;
    float* g = reinterpret_cast<float*>(plan.scratch(tiles_[static_cast<size_t>(ith)]));
    float* u = g + max_rows_ * kTilePanels * kPanel;
    gate.Multiply(*plan.context, ith, 0, p0, p1, x, n_rows, g, ld);
    up.Multiply(*plan.context, ith, up_part, p0, p1, x, n_rows, u, ld);
    deltas_.Add(plan, 1, 0, p0, p1, n, g, ld);
    deltas_.Add(plan, up_part ? 1 : 2, up_part, p0, p1, n, u, ld);
    const bool keep = !quantize_ || down_deltas_.Active(plan);
    for (int64_t t = 0; t < n_rows; ++t) {
      float* out = keep ? reinterpret_cast<float*>(plan.scratch(h_)) + t * f + n0 : g + t * ld;
      plan.context->vector.gated(act_, g + t * ld, u + t * ld, n, out);
      if (!quantize_) continue;
      const int64_t block = (t * f + n0) / kActBlock;
      plan.context->linear.quantize_row(out, n,
                                        reinterpret_cast<int8_t*>(plan.scratch(q_)) + t * f + n0,
                                        reinterpret_cast<float*>(plan.scratch(scale_)) + block,
                                        reinterpret_cast<int16_t*>(plan.scratch(sum_)) + 2 * block);
    }
  }

  const mnw_node& node_;
  Unary act_;
  LinearInput input_;
  SiteDeltas deltas_, down_deltas_;
  int64_t max_rows_;
  bool quantize_ = false;
  size_t q_ = 0, scale_ = 0, sum_ = 0, h_ = 0;
  std::vector<size_t> tiles_;  // per thread
};

// A weight part times a few separate rows, single-threaded: quantizes into the caller's memory.
class RowMultiplier {
 public:
  explicit RowMultiplier(int64_t max_k)
      : q_(static_cast<size_t>(max_k)), scale_(q_.size() / kActBlock), sum_(2 * scale_.size()) {}

  void Set(const mnw_plan& plan, const float* x, int64_t k) {
    a_.f32 = x;
    a_.ld = k;
    if (k % kActBlock == 0)
      plan.context->linear.quantize_row(x, k, q_.data(), scale_.data(), sum_.data());
    a_.q = q_.data();
    a_.scale = scale_.data();
    a_.sum = sum_.data();
  }
  void Multiply(const mnw_plan& plan, int ith, const Weight& w, int64_t part, float* y) const {
    w.Multiply(*plan.context, ith, part, 0, w.panels(), a_, 1, y, w.n);
  }

 private:
  std::vector<int8_t> q_;
  std::vector<float> scale_;
  std::vector<int16_t> sum_;
  Activations a_;
};

class LinearIdStep final : public Step {
 public:
  explicit LinearIdStep(const mnw_node& node) : node_(node) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), ids = plan.tensor(node_.in[2]),
                 y = plan.tensor(node_.out[0]);
    const Weight& w = plan.weight(node_.in[1]);
    RowMultiplier m(w.k);
    const int64_t experts = ids.dim[0];
    const Range r = Share(y.rows(), ith, plan.context->team.size());
    for (int64_t i = r.begin; i < r.end; ++i) {
      const int64_t t = i / experts, e = i % experts;
      m.Set(plan, x.row(x.dim[1] == 1 ? t : i), w.k);
      m.Multiply(plan, ith, w, reinterpret_cast<const int32_t*>(ids.row(t))[e], y.row(i));
    }
  }

 private:
  const mnw_node& node_;
};

// Row by row; each expert a gated ffn, summed in ascending order of expert id.
class MoeStep final : public Step {
 public:
  explicit MoeStep(const mnw_node& node) : node_(node), params_(Params<mnw_moe_params>(node)) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), y = plan.tensor(node_.out[0]);
    const Weight &router = plan.weight(node_.in[1]), &gate = plan.weight(node_.in[2]),
                 &up = plan.weight(node_.in[3]), &down = plan.weight(node_.in[4]);
    const VectorKernels& v = plan.context->vector;
    const int64_t n_experts = router.n, f = gate.n;
    RowMultiplier in(x.dim[0]), hidden(f);
    std::vector<float> score(static_cast<size_t>(n_experts)), g(static_cast<size_t>(f)),
        u(g.size()), part(static_cast<size_t>(down.n));
    const Range r = Share(x.rows(), ith, plan.context->team.size());
    for (int64_t t = r.begin; t < r.end; ++t) {
      in.Set(plan, x.row(t), x.dim[0]);
      in.Multiply(plan, ith, router, 0, score.data());
      v.softmax(score.data(), n_experts, score.data());
      const std::vector<int64_t> chosen = Choose(score);
      float total = 0;
      for (int64_t e : chosen) total += score[static_cast<size_t>(e)];
      std::fill_n(y.row(t), y.dim[0], 0.0f);
      for (int64_t e : chosen) {
        in.Multiply(plan, ith, gate, e, g.data());
        in.Multiply(plan, ith, up, e, u.data());
        v.gated(ToUnary(params_.act), g.data(), u.data(), f, g.data());
        hidden.Set(plan, g.data(), f);
        hidden.Multiply(plan, ith, down, e, part.data());
        const float s =
            score[static_cast<size_t>(e)] / (params_.renormalize ? total : 1.0f) * params_.scale;
        v.scale(part.data(), s, 0.0f, down.n, part.data());
        v.binary(Binary::kAdd, y.row(t), part.data(), down.n, y.row(t));
      }
    }
  }

 private:
  // Ids of the n_used largest scores, ascending; equal scores in order of id.
  std::vector<int64_t> Choose(const std::vector<float>& score) const {
    std::vector<int64_t> ids(score.size());
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i);
    std::stable_sort(ids.begin(), ids.end(), [&](int64_t a, int64_t b) {
      return score[static_cast<size_t>(a)] > score[static_cast<size_t>(b)];
    });
    ids.resize(std::min<size_t>(ids.size(), params_.n_used));
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  const mnw_node& node_;
  mnw_moe_params params_;
};

}  // namespace

std::unique_ptr<Step> MakeLinearStep(PlanBuilder& b, const mnw_node& node) {
  switch (node.op) {
    case MNW_OP_linear:
    case MNW_OP_qkv:
      return std::make_unique<LinearStep>(b, node);
    case MNW_OP_lm_head:
      return std::make_unique<LmHeadStep>(b, node);
    case MNW_OP_glu_ffn:
      return std::make_unique<GluStep>(b, node);
    case MNW_OP_linear_id:
      return std::make_unique<LinearIdStep>(node);
    case MNW_OP_moe_ffn:
      return std::make_unique<MoeStep>(node);
  }
  return nullptr;
}

}  // namespace minnow::cpu
