// conv_step and scan: layers whose state is one block per sequence. Rows of a sequence depend on
// the row before, so threads share channels (conv_step) or heads (scan), never rows.
#include <cmath>

#include "plan.h"

namespace minnow::cpu {

namespace {

float* Block(const mnw_state::Layer& l, int32_t slot) {
  return reinterpret_cast<float*>(l.pages.data() + static_cast<size_t>(slot) * l.page_bytes);
}

class ConvStep final : public Step {
 public:
  explicit ConvStep(const mnw_node& node) : node_(node) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), y = plan.tensor(node_.out[0]);
    const mnw_state::Layer& l = plan.state->layers[plan.value(node_.in[1]).index];
    const int32_t* slots = plan.tensor(node_.in[2]).i32();
    const float *w = plan.vector(node_.in[3]), *bias = plan.vector(InputOf(node_, 4));
    const int64_t width = plan.value(node_.in[3]).dim[0];
    const Range r = Share(x.dim[0], ith, plan.context->team.size());
    for (int64_t t = 0; t < x.rows(); ++t) {
      for (int64_t c = r.begin; c < r.end; ++c) {
        float* past = Block(l, slots[t]) + c * (width - 1);  // oldest first
        float sum = bias ? bias[c] : 0.0f;
        for (int64_t i = 0; i + 1 < width; ++i) sum = std::fma(past[i], w[c * width + i], sum);
        y.row(t)[c] = std::fma(x.row(t)[c], w[c * width + width - 1], sum);
        for (int64_t i = 0; i + 2 < width; ++i) past[i] = past[i + 1];
        if (width > 1) past[width - 2] = x.row(t)[c];
      }
    }
  }

 private:
  const mnw_node& node_;
};

class ScanStep final : public Step {
 public:
  explicit ScanStep(const mnw_node& node) : node_(node) {}

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), dt = plan.tensor(node_.in[1]),
                 b = plan.tensor(node_.in[3]), c = plan.tensor(node_.in[4]),
                 y = plan.tensor(node_.out[0]);
    const float *a = plan.vector(node_.in[2]), *skip = plan.vector(node_.in[5]);
    const mnw_state::Layer& l = plan.state->layers[plan.value(node_.in[6]).index];
    const int32_t* slots = plan.tensor(node_.in[7]).i32();
    const int64_t d = x.dim[0], heads = x.dim[1], n = b.dim[0], groups = b.dim[1];
    const Range r = Share(heads, ith, plan.context->team.size());
    for (int64_t t = 0; t < x.dim[2]; ++t) {
      for (int64_t h = r.begin; h < r.end; ++h) {
        const int64_t g = h / (heads / groups);
        const float step = dt.row(t)[h], exponent = step * a[h];
        float decay;
        plan.context->vector.unary(Unary::kExp, &exponent, 1, &decay);
        const float *xr = x.row(t * heads + h), *br = b.row(t * groups + g),
                    *cr = c.row(t * groups + g);
        float* state = Block(l, slots[t]) + h * d * n;
        for (int64_t i = 0; i < d; ++i) {
          float sum = 0.0f;
          for (int64_t j = 0; j < n; ++j) {
            float& s = state[i * n + j];
            s = std::fma(s, decay, step * xr[i] * br[j]);
            sum = std::fma(s, cr[j], sum);
          }
          y.row(t * heads + h)[i] = std::fma(skip[h], xr[i], sum);
        }
      }
    }
  }

 private:
  const mnw_node& node_;
};

}  // namespace

std::unique_ptr<Step> MakeRecurrentStep(PlanBuilder&, const mnw_node& node) {
  switch (node.op) {
    case MNW_OP_conv_step:
      return std::make_unique<ConvStep>(node);
    case MNW_OP_scan:
      return std::make_unique<ScanStep>(node);
  }
  return nullptr;
}

}  // namespace minnow::cpu
