// conv_step and scan: layers whose state is one block per sequence. Rows of a sequence depend on
// the row before, so threads share channels (conv_step) or heads (scan), never rows.
#include "plan.h"

namespace minnow::cpu {

namespace {

// The block of a row's sequence, [n_kv_heads][k_dim][v_dim]. Rows of these layers always have one.
float* Block(const mnw_state::Layer& l, int32_t slot) {
  return reinterpret_cast<float*>(l.pages.data() + static_cast<size_t>(slot) * l.page_bytes);
}

class ConvStep final : public Step {
 public:
  ConvStep(const mnw_plan& plan, const mnw_node& node)
      : node_(node), width_(plan.value(node.in[3]).dim[0]) {
    const float* w = plan.vector(node.in[3]);
    const int64_t channels = plan.value(node.in[3]).dim[1];
    by_position_.resize(static_cast<size_t>(width_ * channels));
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t i = 0; i < width_; ++i) {
        by_position_[static_cast<size_t>(i * channels + c)] = w[c * width_ + i];
      }
    }
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), y = plan.tensor(node_.out[0]);
    const mnw_state::Layer& l = plan.state->layers[plan.value(node_.in[1]).index];
    const int32_t* slots = plan.tensor(node_.in[2]).i32();
    const float* bias = plan.vector(InputOf(node_, 4));
    const int64_t channels = x.dim[0];
    const Range r = Share(channels, ith, plan.context->team.size());
    for (int64_t t = 0; t < x.rows(); ++t) {
      plan.context->vector.conv(x.row(t) + r.begin, by_position_.data() + r.begin,
                                bias ? bias + r.begin : nullptr, width_, channels, r.end - r.begin,
                                Block(l, slots[t]) + r.begin, y.row(t) + r.begin);
    }
  }

 private:
  const mnw_node& node_;
  const int64_t width_;
  std::vector<float> by_position_;  // the weights, [width][channels]
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
    // Head by head, so that a head's state stays in the cache over the rows of a prefill.
    for (int64_t h = r.begin; h < r.end; ++h) {
      const int64_t g = h / (heads / groups);
      for (int64_t t = 0; t < x.dim[2]; ++t) {
        const float step = dt.row(t)[h], exponent = step * a[h];
        float decay;
        plan.context->vector.unary(Unary::kExp, &exponent, 1, &decay);
        plan.context->vector.scan(x.row(t * heads + h), b.row(t * groups + g),
                                  c.row(t * groups + g), step, decay, skip[h], n, d,
                                  Block(l, slots[t]) + h * d * n, y.row(t * heads + h));
      }
    }
  }

 private:
  const mnw_node& node_;
};

}  // namespace

std::unique_ptr<Step> MakeRecurrentStep(PlanBuilder& b, const mnw_node& node) {
  switch (node.op) {
    case MNW_OP_conv_step:
      return std::make_unique<ConvStep>(b.plan(), node);
    case MNW_OP_scan:
      return std::make_unique<ScanStep>(node);
  }
  return nullptr;
}

}  // namespace minnow::cpu
