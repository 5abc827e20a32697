// rope against double precision: both pairings, partial rotation, every scaling, far positions.
#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>

#include "harness.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr int64_t kHeads = 3, kRows = 4;

mnw_rope_params Plain(uint32_t kind, uint32_t n_dims) {
  return {kind, MNW_ROPE_PLAIN, n_dims, 10000, 1, 1, 32, 1, 4096};
}

// The angle per position of pair i, from the papers' formulas.
double Theta(const mnw_rope_params& p, const std::vector<float>& factors, uint32_t i) {
  const double d = p.n_dims;
  double theta = std::pow(double{p.base}, -2.0 * i / d);
  if (!factors.empty()) theta /= factors[i];
  if (p.scaling == MNW_ROPE_LINEAR) return theta * p.freq_scale;
  if (p.scaling == MNW_ROPE_PLAIN) return theta;
  // YaRN: pairs that turn more than beta_fast times in the original context stay, those that turn
  // less than beta_slow times are interpolated.
  const auto dim_of = [&](double turns) {
    return d * std::log(p.original_context / (turns * 2 * M_PI)) / (2 * std::log(double{p.base}));
  };
  const double low = std::max(std::floor(dim_of(p.beta_fast)), 0.0);
  const double high = std::min(std::ceil(dim_of(p.beta_slow)), d - 1);
  const double keep = 1 - std::clamp((i - low) / std::max(high - low, 0.001), 0.0, 1.0);
  return theta * p.freq_scale * (1 - keep) + theta * keep;
}

void CheckRope(const mnw_rope_params& p, int64_t d, const std::vector<float>& factors = {}) {
  Random random(p.n_dims + p.kind);
  const std::vector<int32_t> positions = {0, 1, 777, 131071};
  const std::vector<float> x = random.Normals(d * kHeads * kRows);
  Model m;
  // Heads inside wider rows, as when Q, K and V come from one matrix.
  const int64_t width = d * kHeads + 8;
  const mnw_id packed = m.Input({d, kHeads, kTokens, 1}), wide = m.Input({width, kTokens, 1, 1}),
               at = m.StepInput(MNW_INPUT_POSITIONS);
  const mnw_id view = m.View(wide, {d, kHeads, kTokens, 1}, {4, 4 * d, 4 * width, 4}, 32);
  const mnw_id f = factors.empty() ? MNW_NONE : m.Vector(factors);
  m.Output(m.Emit(MNW_OP_rope, {packed, at, f}, p)[0]);
  m.Output(m.Emit(MNW_OP_rope, {view, at, f}, p)[0]);
  m.Finish();
  std::vector<float> strided(static_cast<size_t>(width * kRows), NAN);
  for (int64_t t = 0; t < kRows; ++t) {
    std::copy_n(&x[static_cast<size_t>(t * d * kHeads)], d * kHeads,
                &strided[static_cast<size_t>(t * width + 8)]);
  }
  const auto out = RunEverywhere(
      m, {kRows, 0, 0}, {{packed, ToWords(x)}, {wide, ToWords(strided)}, {at, ToWords(positions)}});
  std::vector<double> want(x.begin(), x.end());
  for (int64_t row = 0; row < kRows * kHeads; ++row) {
    double* y = &want[static_cast<size_t>(row * d)];
    const float* from = &x[static_cast<size_t>(row * d)];
    const double position = positions[static_cast<size_t>(row / kHeads)];
    for (uint32_t i = 0; i < p.n_dims / 2; ++i) {
      const uint32_t a = p.kind == MNW_ROPE_NEOX ? i : 2 * i;
      const uint32_t b = p.kind == MNW_ROPE_NEOX ? i + p.n_dims / 2 : 2 * i + 1;
      const double angle = position * Theta(p, factors, i);
      const double c = std::cos(angle) * p.attn_factor, s = std::sin(angle) * p.attn_factor;
      y[a] = from[a] * c - from[b] * s;
      y[b] = from[a] * s + from[b] * c;
    }
  }
  CheckClose(want, ToFloats(out[0]), 1e-6, 0, "rope");
  CheckSameBits(out[0], out[1], "rope of a view");
}

}  // namespace

TEST_GROUP(Rope){};

TEST(Rope, RotatesPairsOfBothKinds) {
  for (const uint32_t kind : {MNW_ROPE_NORM, MNW_ROPE_NEOX}) {
    for (const uint32_t d : {2u, 6u, 32u, 34u, 64u, 96u, 256u}) CheckRope(Plain(kind, d), d);
  }
}

TEST(Rope, PassesTheRestOfAHeadThrough) {
  for (const uint32_t kind : {MNW_ROPE_NORM, MNW_ROPE_NEOX}) {
    CheckRope(Plain(kind, 32), 80);
    CheckRope(Plain(kind, 20), 33);
  }
}

TEST(Rope, ScalesLinearlyByYarnAndByFactors) {
  for (const uint32_t kind : {MNW_ROPE_NORM, MNW_ROPE_NEOX}) {
    mnw_rope_params p = Plain(kind, 64);
    p.scaling = MNW_ROPE_LINEAR;
    p.freq_scale = 0.25f;
    CheckRope(p, 64);
    p.scaling = MNW_ROPE_YARN;
    p.attn_factor = 1.1386f;
    CheckRope(p, 64);
    std::vector<float> factors;
    for (int i = 0; i < 32; ++i) factors.push_back(1 + 0.5f * static_cast<float>(i));
    mnw_rope_params plain = Plain(kind, 64);
    plain.attn_factor = 1.19f;
    CheckRope(plain, 64, factors);
  }
}
