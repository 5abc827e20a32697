// The ops around the linear kernels: linear, qkv, glu_ffn, lm_head, linear_id and moe_ffn, against
// double precision over the decoded weights, and bit by bit against the ops they are made of.
#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "harness.h"
#include "minnow/sdk/graph_view.hpp"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_type kTypes[] = {MNW_TYPE_F32,  MNW_TYPE_F16,  MNW_TYPE_BF16,
                               MNW_TYPE_Q8_0, MNW_TYPE_Q4_0, MNW_TYPE_Q5_0,
                               MNW_TYPE_Q4_K, MNW_TYPE_Q5_K, MNW_TYPE_Q6_K};
constexpr mnw_linear_params kNoSite = {MNW_NONE};

bool IsFloat(mnw_type type) { return sdk::BlockOf(type).elements == 1; }

// Against sums in double precision; for quantized weights nearly all of it is the eight bits of the
// activations, once for each linear on the way.
double Bound(mnw_type type, int linears = 1) { return IsFloat(type) ? 1e-11 : 1.5e-4 * linears; }

void CheckNmse(std::span<const double> want, const Words& got, double bound,
               const std::string& what) {
  LONGS_EQUAL(want.size(), got.size());
  const double nmse = Nmse(want, ToFloats(got));
  if (!(nmse <= bound)) FAIL(fmt::format("{}: NMSE {}, at most {}", what, nmse, bound).c_str());
}

// x [rows, k] times w [n, k].
std::vector<double> Times(const std::vector<double>& x, std::span<const float> w, int64_t k,
                          int64_t n) {
  std::vector<double> y;
  for (size_t t = 0; t < x.size() / static_cast<size_t>(k); ++t) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        sum += x[t * static_cast<size_t>(k) + static_cast<size_t>(j)] *
               w[static_cast<size_t>(i * k + j)];
      }
      y.push_back(sum);
    }
  }
  return y;
}

double Activate(uint32_t act, double x) {
  switch (act) {
    case MNW_ACT_GELU:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case MNW_ACT_GELU_ERF:
      return x / 2 * (1 + std::erf(x * M_SQRT1_2));
    case MNW_ACT_RELU:
      return std::max(x, 0.0);
    default:
      return x / (1 + std::exp(-x));
  }
}

std::vector<double> Gated(uint32_t act, const std::vector<double>& x, std::span<const float> gate,
                          std::span<const float> up, std::span<const float> down, int64_t k,
                          int64_t f, int64_t n) {
  std::vector<double> g = Times(x, gate, k, f);
  const std::vector<double> u = Times(x, up, k, f);
  for (size_t i = 0; i < g.size(); ++i) g[i] = Activate(act, g[i]) * u[i];
  return Times(g, down, f, n);
}

std::vector<double> Doubles(const std::vector<float>& x) { return {x.begin(), x.end()}; }

mnw_op ActOp(uint32_t act) {
  constexpr mnw_op kOps[] = {MNW_OP_silu, MNW_OP_gelu, MNW_OP_gelu_erf, MNW_OP_relu};
  return kOps[act];
}

}  // namespace

TEST_GROUP(LinearOps){};

TEST(LinearOps, AddTheirBiasAndTakeViews) {
  Random random(1);
  for (const mnw_type type : kTypes) {
    const int64_t k = IsFloat(type) ? 33 : 256, n = 35;
    for (const int64_t t : {1, 3, 40}) {
      Model m;
      const mnw_id x = m.Input({k, kTokens, 1, 1}), wide = m.Input({k + 7, kTokens, 1, 1});
      const mnw_id view = m.View(wide, {k, kTokens, 1, 1}, {4, 4 * (k + 7), 4, 4}, 20);
      const mnw_id w = m.RandomWeight(type, {k, n, 1, 1}, random);
      const mnw_id b = m.RandomWeight(MNW_TYPE_F16, {n, 1, 1, 1}, random, 5);
      for (const mnw_id in : {x, view}) m.Output(m.Emit(MNW_OP_linear, {in, w, b}, kNoSite)[0]);
      m.Finish();
      const std::vector<float> xv = random.Normals(k * t);
      std::vector<float> strided(static_cast<size_t>((k + 7) * t), NAN);
      for (int64_t r = 0; r < t; ++r) {
        std::copy_n(&xv[static_cast<size_t>(r * k)], k,
                    &strided[static_cast<size_t>(r * (k + 7) + 5)]);
      }
      const auto out = RunEverywhere(m, {t, 0, 0}, {{x, ToWords(xv)}, {wide, ToWords(strided)}});
      std::vector<double> want = Times(Doubles(xv), m.values(w), k, n);
      const std::vector<float> bias = m.values(b);
      for (size_t i = 0; i < want.size(); ++i) want[i] += bias[i % static_cast<size_t>(n)];
      CheckNmse(want, out[0], Bound(type), fmt::format("linear, type {}", int{type}));
      CheckSameBits(out[0], out[1], "a view");
    }
  }
}

TEST(LinearOps, TakeRowsOfMoreThanOneDim) {
  Random random(2);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_Q8_0}) {
    Model m;
    const mnw_id x = m.Input({64, 3, 2, 1}), flat = m.Reshape(x, {64, 6, 1, 1}),
                 w = m.RandomWeight(type, {64, 20, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
    m.Output(m.Emit(MNW_OP_linear, {flat, w}, kNoSite)[0]);
    m.Finish();
    const auto out = RunEverywhere(m, {}, {{x, ToWords(random.Normals(64 * 6))}});
    CheckSameBits(out[1], out[0], "3 x 2 rows");
  }
}

TEST(LinearOps, QkvIsThreeLinearsEvenOfDifferentTypes) {
  Random random(3);
  using Three = std::array<mnw_type, 3>;
  for (const Three& types : {Three{MNW_TYPE_F32, MNW_TYPE_F32, MNW_TYPE_F32},
                             Three{MNW_TYPE_Q4_K, MNW_TYPE_Q4_K, MNW_TYPE_Q6_K},
                             Three{MNW_TYPE_F16, MNW_TYPE_Q8_0, MNW_TYPE_BF16},
                             Three{MNW_TYPE_Q8_0, MNW_TYPE_F32, MNW_TYPE_Q5_K}}) {
    const int64_t k = 256, sizes[] = {64, 16, 31};
    Model m;
    const mnw_id x = m.Input({k, kTokens, 1, 1});
    mnw_id w[3], b[3];
    for (size_t i = 0; i < 3; ++i) {
      w[i] = m.RandomWeight(types[i], {k, sizes[i], 1, 1}, random);
      b[i] = i == 1 ? MNW_NONE : m.RandomWeight(MNW_TYPE_F32, {sizes[i], 1, 1, 1}, random);
    }
    m.OutputAll(m.Emit(MNW_OP_qkv, {x, w[0], w[1], w[2], b[0], b[1], b[2]}, kNoSite));
    for (size_t i = 0; i < 3; ++i) m.Output(m.Emit(MNW_OP_linear, {x, w[i], b[i]}, kNoSite)[0]);
    m.Finish();
    const auto out = RunEverywhere(m, {5, 0, 0}, {{x, ToWords(random.Normals(k * 5))}});
    for (size_t i = 0; i < 3; ++i) CheckSameBits(out[3 + i], out[i], "qkv");
  }
}

TEST(LinearOps, LmHeadScalesAndCaps) {
  Random random(4);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_Q6_K}) {
    const int64_t k = 256, n = 301;
    Model m;
    const mnw_id x = m.Input({k, kOut, 1, 1}), w = m.RandomWeight(type, {k, n, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_lm_head, {x, w}, mnw_lm_head_params{1, 0, MNW_NONE})[0]);
    m.Output(m.Emit(MNW_OP_lm_head, {x, w}, mnw_lm_head_params{0.125f, 3, MNW_NONE})[0]);
    const mnw_id y = m.Emit(MNW_OP_linear, {x, w}, kNoSite)[0];
    m.Output(y);
    m.Output(m.Emit(MNW_OP_softcap, {m.Emit(MNW_OP_scale, {y}, mnw_scale_params{0.125f, 0})[0]},
                    mnw_softcap_params{3})[0]);
    m.Finish();
    const auto out = RunEverywhere(m, {0, 0, 3}, {{x, ToWords(random.Normals(k * 3))}});
    CheckSameBits(out[2], out[0], "plain");
    CheckSameBits(out[3], out[1], "scaled and capped");
  }
}

TEST(LinearOps, GluFfnIsItsFormulaInEveryType) {
  Random random(5);
  for (const mnw_type type : kTypes) {
    const int64_t k = IsFloat(type) ? 33 : 256, f = IsFloat(type) ? 150 : 768, n = 37, t = 5;
    const float scale = 1 / std::sqrt(static_cast<float>(k));
    for (const uint32_t act : {MNW_ACT_SILU, MNW_ACT_GELU, MNW_ACT_GELU_ERF, MNW_ACT_RELU}) {
      Model m;
      const std::vector<float> gate = random.Normals(k * f, scale), up = random.Normals(k * f);
      std::vector<float> both = gate;
      both.insert(both.end(), up.begin(), up.end());
      const mnw_id x = m.Input({k, kTokens, 1, 1}), g = m.Weight(type, {k, f, 1, 1}, gate),
                   u = m.Weight(type, {k, f, 1, 1}, up),
                   gu = m.Weight(type, {k, 2 * f, 1, 1}, both),
                   d = m.RandomWeight(type, {f, n, 1, 1}, random);
      m.Output(m.Emit(MNW_OP_glu_ffn, {x, g, u, d}, mnw_glu_params{act, MNW_NONE})[0]);
      m.Output(m.Emit(MNW_OP_glu_ffn, {x, gu, MNW_NONE, d}, mnw_glu_params{act, MNW_NONE})[0]);
      const mnw_id hidden =
          m.Emit(MNW_OP_mul, {m.Emit(ActOp(act), {m.Emit(MNW_OP_linear, {x, g}, kNoSite)[0]}),
                              m.Emit(MNW_OP_linear, {x, u}, kNoSite)[0]});
      m.Output(m.Emit(MNW_OP_linear, {hidden, d}, kNoSite)[0]);
      m.Finish();
      const std::vector<float> xv = random.Normals(k * t);
      const auto out = RunEverywhere(m, {t, 0, 0}, {{x, ToWords(xv)}});
      const std::string what = fmt::format("glu_ffn, type {}, act {}", int{type}, act);
      CheckNmse(Gated(act, Doubles(xv), m.values(g), m.values(u), m.values(d), k, f, n), out[0],
                Bound(type, 4), what);
      CheckSameBits(out[0], out[1], what + ", gate and up in one tensor");
      CheckSameBits(out[2], out[0], what + ", decomposed");
    }
  }
}

TEST(LinearOps, GluFfnMixesTypesAndWorksOnOutputRows) {
  Random random(6);
  using Three = std::array<mnw_type, 3>;
  for (const Three& types : {Three{MNW_TYPE_F16, MNW_TYPE_Q8_0, MNW_TYPE_F32},
                             Three{MNW_TYPE_Q4_K, MNW_TYPE_F32, MNW_TYPE_Q6_K},
                             Three{MNW_TYPE_F32, MNW_TYPE_BF16, MNW_TYPE_Q5_0}}) {
    const int64_t k = 256, f = 512, n = 16, rows = 9;
    Model m;
    const mnw_id x = m.Input({k, kOut, 1, 1}),
                 g = m.RandomWeight(types[0], {k, f, 1, 1}, random, 0.06f),
                 u = m.RandomWeight(types[1], {k, f, 1, 1}, random),
                 d = m.RandomWeight(types[2], {f, n, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_glu_ffn, {x, g, u, d}, mnw_glu_params{MNW_ACT_SILU, MNW_NONE})[0]);
    m.Finish();
    const std::vector<float> xv = random.Normals(k * rows);
    const Words out = RunEverywhere(m, {1, 1, rows}, {{x, ToWords(xv)}})[0];
    CheckNmse(Gated(MNW_ACT_SILU, Doubles(xv), m.values(g), m.values(u), m.values(d), k, f, n), out,
              Bound(MNW_TYPE_Q8_0, 4), "mixed types");
  }
}

TEST(LinearOps, LinearIdAppliesTheChosenMatrices) {
  Random random(7);
  for (const mnw_type type : kTypes) {
    const int64_t k = IsFloat(type) ? 20 : 256, n = 19, experts = 5, used = 3, t = 4;
    Model m;
    const mnw_id each = m.Input({k, used, kTokens, 1}), shared = m.Input({k, 1, kTokens, 1}),
                 ids = m.Input({used, kTokens, 1, 1}, MNW_TYPE_I32),
                 wide = m.Input({used + 2, kTokens, 1, 1}, MNW_TYPE_I32),
                 w = m.RandomWeight(type, {k, n, experts, 1}, random);
    const mnw_id view = m.View(wide, {used, kTokens, 1, 1}, {4, 4 * (used + 2), 4, 4}, 4);
    m.Output(m.Emit(MNW_OP_linear_id, {each, w, ids}));
    m.Output(m.Emit(MNW_OP_linear_id, {shared, w, ids}));
    m.Output(m.Emit(MNW_OP_linear_id, {shared, w, view}));
    m.Finish();
    const std::vector<float> a = random.Normals(k * used * t), b = random.Normals(k * t);
    std::vector<int32_t> id, wide_id;
    std::vector<double> want[2];
    const std::vector<float> wv = m.values(w);
    for (int64_t r = 0; r < t; ++r) {
      wide_id.push_back(-1);
      for (int64_t e = 0; e < used; ++e) {
        const int32_t chosen = random.Below(static_cast<int>(experts));
        id.push_back(chosen);
        wide_id.push_back(chosen);
        const std::span<const float> matrix(&wv[static_cast<size_t>(chosen * n * k)],
                                            static_cast<size_t>(n * k));
        const auto row = [k](const std::vector<float>& x, int64_t i) {
          return std::vector<double>(x.begin() + i * k, x.begin() + (i + 1) * k);
        };
        for (const double y : Times(row(a, r * used + e), matrix, k, n)) want[0].push_back(y);
        for (const double y : Times(row(b, r), matrix, k, n)) want[1].push_back(y);
      }
      wide_id.push_back(-1);
    }
    const auto out = RunEverywhere(
        m, {t, 0, 0},
        {{each, ToWords(a)}, {shared, ToWords(b)}, {ids, ToWords(id)}, {wide, ToWords(wide_id)}});
    for (size_t i = 0; i < 2; ++i) {
      CheckNmse(want[i], out[i], Bound(type), fmt::format("linear_id, type {}", int{type}));
    }
    CheckSameBits(out[1], out[2], "ids as a view");
  }
}

TEST(LinearOps, MoeFfnWeighsTheBestExperts) {
  Random random(8);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0, MNW_TYPE_Q4_K}) {
    for (const uint32_t renormalize : {0u, 1u}) {
      const int64_t k = 256, f = 256, n = 33, experts = 6, t = 5;
      const mnw_moe_params params = {MNW_ACT_SILU, 3, renormalize, 1.5f};
      Model m;
      const mnw_id x = m.Input({k, kTokens, 1, 1}),
                   router = m.RandomWeight(MNW_TYPE_F32, {k, experts, 1, 1}, random, 0.1f),
                   gate = m.RandomWeight(type, {k, f, experts, 1}, random, 0.06f),
                   up = m.RandomWeight(type, {k, f, experts, 1}, random),
                   down = m.RandomWeight(type, {f, n, experts, 1}, random);
      m.Output(m.Emit(MNW_OP_moe_ffn, {x, router, gate, up, down}, params)[0]);
      m.Finish();
      const std::vector<float> xv = random.Normals(k * t);
      const Words out = RunEverywhere(m, {t, 0, 0}, {{x, ToWords(xv)}})[0];

      const std::vector<float> rv = m.values(router), gv = m.values(gate), uv = m.values(up),
                               dv = m.values(down);
      std::vector<double> want;
      for (int64_t r = 0; r < t; ++r) {
        const std::vector<double> row(xv.begin() + r * k, xv.begin() + (r + 1) * k);
        std::vector<double> score = Times(row, rv, k, experts);
        double sum = 0;
        for (double& s : score) sum += s = std::exp(s);
        for (double& s : score) s /= sum;
        std::vector<size_t> order(static_cast<size_t>(experts));
        std::iota(order.begin(), order.end(), size_t{0});
        std::sort(order.begin(), order.end(),
                  [&](size_t a, size_t b) { return score[a] > score[b]; });
        double total = 0;
        for (size_t i = 0; i < 3; ++i) total += score[order[i]];
        std::vector<double> y(static_cast<size_t>(n));
        for (size_t i = 0; i < 3; ++i) {
          const auto part = [&](const std::vector<float>& w, int64_t size) {
            return std::span(w).subspan(order[i] * static_cast<size_t>(size),
                                        static_cast<size_t>(size));
          };
          const auto one =
              Gated(MNW_ACT_SILU, row, part(gv, k * f), part(uv, k * f), part(dv, f * n), k, f, n);
          for (size_t j = 0; j < y.size(); ++j) {
            y[j] += one[j] * score[order[i]] / (renormalize ? total : 1) * 1.5;
          }
        }
        want.insert(want.end(), y.begin(), y.end());
      }
      CheckNmse(want, out, IsFloat(type) ? 1e-10 : Bound(type, 4),
                fmt::format("moe_ffn, type {}", int{type}));

      for (int64_t r = 0; r < t; ++r) {
        const std::vector<float> row(xv.begin() + r * k, xv.begin() + (r + 1) * k);
        CheckSameBits(Words(out.begin() + r * n, out.begin() + (r + 1) * n),
                      RunEverywhere(m, {1, 0, 0}, {{x, ToWords(row)}})[0], "a row alone");
      }
    }
  }
}
