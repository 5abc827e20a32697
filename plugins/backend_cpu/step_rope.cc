// rope: rotary position embeddings (arXiv:2104.09864) with linear, YaRN (arXiv:2309.00071),
// LongRoPE and Llama-3 scaling.
#include <algorithm>
#include <cmath>

#include "plan.h"

namespace minnow::cpu {

namespace {

// Angles per position for each pair of dimensions, fixed at plan time in double precision: at
// position 100,000 the rounding of an f32 product would already be 0.4 % of a turn.
std::vector<double> Frequencies(const mnw_rope_params& p, const float* factors) {
  const int64_t half = p.n_dims / 2;
  std::vector<double> theta(static_cast<size_t>(half));
  const double freq_scale = p.freq_scale > 0 ? p.freq_scale : 1.0;
  // The pair index at which a dimension turns `rotations` times within the original context.
  const auto turns_at = [&](double rotations) {
    return p.n_dims * std::log(p.original_context / (rotations * 2 * M_PI)) /
           (2 * std::log(double{p.base}));
  };
  const double low = std::max(0.0, std::floor(turns_at(p.beta_fast)));
  const double high = std::min(p.n_dims - 1.0, std::ceil(turns_at(p.beta_slow)));
  for (int64_t i = 0; i < half; ++i) {
    double t = std::pow(double{p.base}, -2.0 * static_cast<double>(i) / p.n_dims);
    if (factors) t /= factors[i];
    if (p.scaling == MNW_ROPE_LINEAR) t *= freq_scale;
    if (p.scaling == MNW_ROPE_YARN) {
      const double ramp =
          std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
      t = t * freq_scale * ramp + t * (1.0 - ramp);  // fast dimensions keep their angle
    }
    theta[static_cast<size_t>(i)] = t;
  }
  return theta;
}

class RopeStep final : public Step {
 public:
  RopeStep(PlanBuilder& b, const mnw_node& node)
      : node_(node), params_(Params<mnw_rope_params>(node)) {
    const bool scaled = node.n_in > 2 && node.in[2] != MNW_NONE;
    theta_ = Frequencies(params_, scaled ? b.plan().weight(node.in[2]).vector() : nullptr);
    if (params_.attn_factor == 0) params_.attn_factor = 1;
    for (int i = 0; i < b.plan().context->team.size(); ++i)
      table_.push_back(b.Reserve(theta_.size() * 2 * sizeof(float)));
  }

  void Run(const mnw_plan& plan, int ith) const override {
    const Tensor x = plan.tensor(node_.in[0]), y = plan.tensor(node_.out[0]);
    const int32_t* positions = plan.tensor(node_.in[1]).i32();
    const int64_t heads = x.dim[1], half = static_cast<int64_t>(theta_.size());
    float* cos = reinterpret_cast<float*>(plan.scratch(table_[static_cast<size_t>(ith)]));
    float* sin = cos + half;
    const Range r = Share(x.dim[2], ith, plan.context->team.size());
    for (int64_t t = r.begin; t < r.end; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = positions[t] * theta_[static_cast<size_t>(i)];
        cos[i] = static_cast<float>(std::cos(angle)) * params_.attn_factor;
        sin[i] = static_cast<float>(std::sin(angle)) * params_.attn_factor;
      }
      for (int64_t h = 0; h < heads; ++h) {
        plan.context->vector.rope(x.row(t * heads + h), cos, sin, params_.n_dims, x.dim[0],
                                  params_.kind == MNW_ROPE_NEOX, y.row(t * heads + h));
      }
    }
  }

 private:
  const mnw_node& node_;
  mnw_rope_params params_;
  std::vector<double> theta_;
  std::vector<size_t> table_;  // cos and sin of one position, per thread
};

}  // namespace

std::unique_ptr<Step> MakeRopeStep(PlanBuilder& b, const mnw_node& node) {
  if (node.op != MNW_OP_rope) return nullptr;
  return std::make_unique<RopeStep>(b, node);
}

}  // namespace minnow::cpu
