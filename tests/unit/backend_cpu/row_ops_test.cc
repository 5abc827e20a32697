// Elementwise ops, norms, reductions and movement: against double precision, on rows of all
// lengths, packed and as views, and bit by bit across levels and thread counts.
#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "harness.h"
#include "minnow/sdk/half.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr int64_t kLengths[] = {1, 15, 16, 17, 31, 33, 100, 257};
constexpr int64_t kRows = 3;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Rows [kRows, n] that lie in rows of n + 5, three elements in.
struct Strided {
  mnw_id base, view;
  Words words;
};
Strided StridedRows(Model& m, const std::vector<float>& rows, int64_t n) {
  Strided s;
  s.base = m.Input({n + 5, kRows, 1, 1});
  s.view = m.View(s.base, {n, kRows, 1, 1}, {4, 4 * (n + 5), 4 * (n + 5) * kRows, 4}, 12);
  std::vector<float> wide(static_cast<size_t>((n + 5) * kRows), kNan);  // not to be read
  for (int64_t r = 0; r < kRows; ++r) {
    std::copy_n(&rows[static_cast<size_t>(r * n)], n, &wide[static_cast<size_t>(r * (n + 5) + 3)]);
  }
  s.words = ToWords(wide);
  return s;
}

using RowReference = std::function<std::vector<double>(const std::vector<double>&)>;
using EmitRow = std::function<mnw_id(Model&, mnw_id x)>;

// One op from rows to rows, for every length, packed and strided.
void CheckRowOp(const char* name, const EmitRow& emit, const RowReference& reference, double abs,
                double rel, float scale = 2) {
  Random random(7);
  for (const int64_t n : kLengths) {
    Model m;
    const std::vector<float> x = random.Normals(n * kRows, scale);
    const mnw_id packed = m.Input({n, kRows, 1, 1});
    const Strided strided = StridedRows(m, x, n);
    m.Output(emit(m, packed));
    m.Output(emit(m, strided.view));
    m.Finish();
    const auto out = RunEverywhere(m, {}, {{packed, ToWords(x)}, {strided.base, strided.words}});
    std::vector<double> want;
    for (int64_t r = 0; r < kRows; ++r) {
      const auto row = reference(std::vector<double>(x.begin() + r * n, x.begin() + (r + 1) * n));
      want.insert(want.end(), row.begin(), row.end());
    }
    const std::string what = fmt::format("{} of {}", name, n);
    CheckClose(want, ToFloats(out[0]), abs, rel, what);
    CheckSameBits(out[0], out[1], what + ", strided");
  }
}

EmitRow Op(mnw_op op) {
  return [op](Model& m, mnw_id x) { return m.Emit(op, {x}); };
}
template <class P>
EmitRow Op(mnw_op op, const P& params) {
  return [=](Model& m, mnw_id x) { return m.Emit(op, {x}, params)[0]; };
}
RowReference Each(double (*f)(double)) {
  return [f](std::vector<double> x) {
    for (double& v : x) v = f(v);
    return x;
  };
}

double Sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }
double SumOfSquares(const std::vector<double>& x, double mean) {
  double sum = 0;
  for (double v : x) sum += (v - mean) * (v - mean);
  return sum;
}

// One op on one row of given values, on every level.
std::vector<float> OnRow(mnw_op op, const std::vector<float>& x) {
  Model m;
  const mnw_id in = m.Input({static_cast<int64_t>(x.size()), 1, 1, 1});
  m.Output(m.Emit(op, {in}));
  m.Finish();
  return ToFloats(RunEverywhere(m, {}, {{in, ToWords(x)}})[0]);
}

}  // namespace

TEST_GROUP(RowOps){};

TEST(RowOps, MapsElements) {
  CheckRowOp("silu", Op(MNW_OP_silu), Each([](double x) { return x / (1 + std::exp(-x)); }), 0,
             6e-7);
  CheckRowOp("gelu", Op(MNW_OP_gelu), Each([](double x) {
               return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
             }),
             3e-7, 3e-7);
  CheckRowOp("gelu_erf", Op(MNW_OP_gelu_erf),
             Each([](double x) { return x / 2 * (1 + std::erf(x * M_SQRT1_2)); }), 3e-7, 3e-7);
  CheckRowOp("relu", Op(MNW_OP_relu), Each([](double x) { return std::max(x, 0.0); }), 0, 0);
  CheckRowOp("sigmoid", Op(MNW_OP_sigmoid), Each([](double x) { return 1 / (1 + std::exp(-x)); }),
             0, 4e-7);
  CheckRowOp("tanh", Op(MNW_OP_tanh), Each([](double x) { return std::tanh(x); }), 0, 3e-7);
  CheckRowOp("exp", Op(MNW_OP_exp), Each([](double x) { return std::exp(x); }), 0, 2e-7);
  CheckRowOp("softplus", Op(MNW_OP_softplus),
             Each([](double x) { return std::log1p(std::exp(x)); }), 0, 4e-7, 10);
  CheckRowOp("neg", Op(MNW_OP_neg), Each([](double x) { return -x; }), 0, 0);
  CheckRowOp("sqr", Op(MNW_OP_sqr), Each([](double x) { return x * x; }), 0, 6e-8);
  CheckRowOp("scale", Op(MNW_OP_scale, mnw_scale_params{0.75f, -2}),
             Each([](double x) { return x * 0.75 - 2; }), 0, 6e-8);
  CheckRowOp("clamp", Op(MNW_OP_clamp, mnw_clamp_params{-1, 0.5f}),
             Each([](double x) { return std::clamp(x, -1.0, 0.5); }), 0, 0);
  CheckRowOp("softcap", Op(MNW_OP_softcap, mnw_softcap_params{1.5f}),
             Each([](double x) { return 1.5 * std::tanh(x / 1.5); }), 0, 4e-7);
  const auto root = [](Model& m, mnw_id x) {
    return m.Emit(MNW_OP_sqrt, {m.Emit(MNW_OP_sqr, {x})});
  };
  CheckRowOp("sqrt", root, Each([](double x) { return std::fabs(x); }), 0, 2e-7);
}

TEST(RowOps, NormalizesRows) {
  Random random(3);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16}) {
    const std::vector<float> w = random.Normals(257), b = random.Normals(257);
    for (const int64_t n : kLengths) {
      const size_t size = static_cast<size_t>(n);
      const std::vector<float> wn(w.begin(), w.begin() + n), bn(b.begin(), b.begin() + n);
      const std::vector<float> x = random.Normals(n * kRows, 3), r = random.Normals(n * kRows);
      Model m;
      const mnw_id in = m.Input({n, kRows, 1, 1}), rest = m.Input({n, kRows, 1, 1});
      const mnw_id wi = m.Weight(type, {n, 1, 1, 1}, wn), bi = m.Weight(type, {n, 1, 1, 1}, bn);
      const mnw_norm_params rms{1e-5f, 1, 0}, layer{1e-5f, 0, 1}, l2{1e-6f, 0, 0};
      m.Output(m.Emit(MNW_OP_rms_norm, {in, wi}, rms)[0]);
      m.Output(m.Emit(MNW_OP_layer_norm, {in, wi, bi}, layer)[0]);
      m.Output(m.Emit(MNW_OP_l2_norm, {in}, l2)[0]);
      m.Output(m.Emit(MNW_OP_rms_norm, {in}, rms)[0]);
      m.Output(m.Emit(MNW_OP_layer_norm, {in, MNW_NONE, bi}, layer)[0]);
      const Outs sum_rms = m.Emit(MNW_OP_add_norm, {in, rest, wi}, rms);
      const Outs sum_layer = m.Emit(MNW_OP_add_norm, {in, rest, wi, bi}, layer);
      const mnw_id sum = m.Emit(MNW_OP_add, {in, rest});
      const mnw_id sum_then_rms = m.Emit(MNW_OP_rms_norm, {sum, wi}, rms)[0];
      const mnw_id sum_then_layer = m.Emit(MNW_OP_layer_norm, {sum, wi, bi}, layer)[0];
      for (mnw_id id : {sum_rms[0], sum_rms[1], sum_layer[1], sum, sum_then_rms, sum_then_layer}) {
        m.Output(id);
      }
      m.Finish();
      const auto out = RunEverywhere(m, {}, {{in, ToWords(x)}, {rest, ToWords(r)}});

      const std::vector<float> wv = m.values(wi), bv = m.values(bi);
      std::vector<double> want[5];
      for (int64_t row = 0; row < kRows; ++row) {
        const std::vector<double> v(x.begin() + row * n, x.begin() + (row + 1) * n);
        const double mean = Sum(v) / static_cast<double>(n);
        const double inv_rms = 1 / std::sqrt(SumOfSquares(v, 0) / static_cast<double>(n) + 1e-5f);
        const double inv_std =
            1 / std::sqrt(SumOfSquares(v, mean) / static_cast<double>(n) + 1e-5f);
        const double inv_l2 = 1 / std::max(std::sqrt(SumOfSquares(v, 0)), double{1e-6f});
        for (size_t i = 0; i < size; ++i) {
          want[0].push_back(v[i] * inv_rms * (wv[i] + 1.0));
          want[1].push_back((v[i] - mean) * inv_std * wv[i] + bv[i]);
          want[2].push_back(v[i] * inv_l2);
          want[3].push_back(v[i] * inv_rms);
          want[4].push_back((v[i] - mean) * inv_std + bv[i]);
        }
      }
      for (size_t i = 0; i < 5; ++i) {
        // A single element minus its mean is 0, whatever the inverse.
        CheckClose(want[i], ToFloats(out[i]), 4e-6, 1e-6, fmt::format("norm {} of {}", i, n));
      }
      CheckSameBits(out[8], out[5], "sum of add_norm");
      CheckSameBits(out[9], out[6], "add_norm, rms");
      CheckSameBits(out[10], out[7], "add_norm, layer");
    }
  }
}

TEST(RowOps, ReducesRows) {
  CheckRowOp(
      "softmax", Op(MNW_OP_softmax),
      [](std::vector<double> x) {
        const double max = *std::max_element(x.begin(), x.end());
        for (double& v : x) v = std::exp(v - max);
        const double sum = Sum(x);
        for (double& v : x) v /= sum;
        return x;
      },
      0, 4e-6, 10);  // x - max is rounded by up to half an ulp of 64
  CheckRowOp(
      "sum_row", Op(MNW_OP_sum_row),
      [](const std::vector<double>& x) { return std::vector<double>{Sum(x)}; }, 1e-5, 1e-6);
  CheckRowOp(
      "max_row", Op(MNW_OP_max_row),
      [](const std::vector<double>& x) {
        return std::vector<double>{*std::max_element(x.begin(), x.end())};
      },
      0, 0);
}

TEST(RowOps, SumsInSixteenLanesAndAFixedTree) {
  Random random(5);
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random.Normals(n);
    float lane[16] = {};
    for (int64_t i = 0; i < n; ++i) lane[i % 16] += x[static_cast<size_t>(i)];
    for (int width = 8; width > 0; width /= 2) {
      for (int l = 0; l < width; ++l) lane[l] += lane[l + width];
    }
    CheckSameBits(ToWords(std::vector<float>{lane[0]}), ToWords(OnRow(MNW_OP_sum_row, x)),
                  fmt::format("sum of {}", n));
  }
}

TEST(RowOps, BroadcastsTheSecondOperand) {
  Random random(11);
  struct Case {
    mnw_op op;
    double (*f)(double, double);
  };
  const Case cases[] = {{MNW_OP_add, [](double a, double b) { return a + b; }},
                        {MNW_OP_sub, [](double a, double b) { return a - b; }},
                        {MNW_OP_mul, [](double a, double b) { return a * b; }},
                        {MNW_OP_div, [](double a, double b) { return a / b; }}};
  for (const int64_t n : kLengths) {
    const Dims full = {n, 3, 2, 2};
    const std::vector<Dims> shapes = {full,         {n, 3, 2, 1}, {n, 1, 2, 2}, {1, 3, 2, 1},
                                      {n, 1, 1, 1}, {1, 1, 1, 1}, {1, 3, 1, 2}};
    const std::vector<float> a = random.Normals(n * 12);
    for (const Dims& shape : shapes) {
      const int64_t count = shape[0] * shape[1] * shape[2] * shape[3];
      const std::vector<float> b = random.Normals(count);
      Model m;
      const mnw_id ai = m.Input(full), bi = m.Input(shape), wi = m.Weight(MNW_TYPE_F32, shape, b);
      for (const Case& c : cases) {
        m.Output(m.Emit(c.op, {ai, bi}));
        m.Output(m.Emit(c.op, {ai, wi}));
      }
      m.Finish();
      const auto out = RunEverywhere(m, {}, {{ai, ToWords(a)}, {bi, ToWords(b)}});
      for (size_t k = 0; k < 4; ++k) {
        std::vector<double> want;
        for (int64_t i = 0; i < n * 12; ++i) {
          const int64_t at[4] = {i % n, i / n % 3, i / n / 3 % 2, i / n / 6};
          int64_t j = 0;
          for (size_t d = 4; d-- > 0;) j = j * shape[d] + (shape[d] == 1 ? 0 : at[d]);
          want.push_back(cases[k].f(a[static_cast<size_t>(i)], b[static_cast<size_t>(j)]));
        }
        CheckClose(want, ToFloats(out[2 * k]), 0, 6e-8, fmt::format("binary {} of {}", k, n));
        CheckSameBits(out[2 * k], out[2 * k + 1], "with a weight");
      }
    }
  }
}

TEST(RowOps, TopKIsDescendingWithEqualValuesInOrderOfId) {
  Random random(13);
  for (const int64_t n : kLengths) {
    std::vector<float> x;
    for (int64_t i = 0; i < n * kRows; ++i) x.push_back(static_cast<float>(random.Below(9)) - 4);
    for (const int64_t k : {int64_t{1}, (n + 1) / 2, n}) {
      Model m;
      const mnw_id in = m.Input({n, kRows, 1, 1});
      const Outs top = m.Emit(MNW_OP_top_k, {in}, mnw_top_k_params{static_cast<uint32_t>(k)});
      m.Output(top[0]);
      m.Output(top[1]);
      m.Finish();
      const auto out = RunEverywhere(m, {}, {{in, ToWords(x)}});
      for (int64_t r = 0; r < kRows; ++r) {
        std::vector<int32_t> order(static_cast<size_t>(n));
        std::iota(order.begin(), order.end(), 0);
        const float* row = &x[static_cast<size_t>(r * n)];
        std::stable_sort(order.begin(), order.end(),
                         [row](int32_t a, int32_t b) { return row[a] > row[b]; });
        for (int64_t j = 0; j < k; ++j) {
          const size_t at = static_cast<size_t>(r * k + j), id = static_cast<size_t>(j);
          LONGS_EQUAL(order[id], ToInts(out[1])[at]);
          DOUBLES_EQUAL(row[order[id]], ToFloats(out[0])[at], 0);
        }
      }
    }
  }
}

TEST(RowOps, CopiesViewsOfAnyStrideToEveryFloatType) {
  Random random(17);
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random.Normals(n * 6, 100);
    Model m;
    const mnw_id in = m.Input({n, 3, 2, 1});
    const mnw_id turned = m.View(in, {3, n, 2, 1}, {4 * n, 4, 12 * n, 24 * n});
    for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_BF16}) {
      m.Output(m.Emit(MNW_OP_copy, {turned}, mnw_copy_params{type})[0]);
    }
    m.Finish();
    const auto out = RunEverywhere(m, {}, {{in, ToWords(x)}});
    for (int64_t i = 0; i < n * 6; ++i) {
      const float want = x[static_cast<size_t>(i / (3 * n) * 3 * n + i % 3 * n + i / 3 % n)];
      const size_t at = static_cast<size_t>(i);
      DOUBLES_EQUAL(want, ToFloats(out[0])[at], 0);
      LONGS_EQUAL(F32ToF16(want), out[1][at / 2] >> (at % 2 * 16) & 0xffff);
      LONGS_EQUAL(F32ToBF16(want), out[2][at / 2] >> (at % 2 * 16) & 0xffff);
    }
  }
}

TEST(RowOps, ConcatenatesAndPicksRows) {
  Random random(19);
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random.Normals(n * kRows), y = random.Normals(7 * kRows);
    const std::vector<int32_t> ids = {2, 0, 2, 1, 1};
    Model m;
    const mnw_id a = m.Input({n, kRows, 1, 1}), b = m.Input({7, kRows, 1, 1});
    const Strided strided = StridedRows(m, x, n);
    const mnw_id which = m.Input({5, 1, 1, 1}, MNW_TYPE_I32);
    m.Output(m.Emit(MNW_OP_concat, {a, b}));
    m.Output(m.Emit(MNW_OP_concat, {strided.view, b}));
    m.Output(m.Emit(MNW_OP_get_rows, {a, which}));
    m.Output(m.Emit(MNW_OP_get_rows, {strided.view, which}));
    m.Finish();
    const auto out = RunEverywhere(
        m, {},
        {{a, ToWords(x)}, {b, ToWords(y)}, {strided.base, strided.words}, {which, ToWords(ids)}});
    std::vector<float> joined, picked;
    for (int64_t r = 0; r < kRows; ++r) {
      joined.insert(joined.end(), x.begin() + r * n, x.begin() + (r + 1) * n);
      joined.insert(joined.end(), y.begin() + r * 7, y.begin() + (r + 1) * 7);
    }
    for (int32_t id : ids)
      picked.insert(picked.end(), x.begin() + id * n, x.begin() + (id + 1) * n);
    for (size_t i : {0, 1}) CheckSameBits(ToWords(joined), out[i], "concat");
    for (size_t i : {2, 3}) CheckSameBits(ToWords(picked), out[i], "get_rows");
  }
}

TEST(RowOps, PoolsTheRowsOfEachSequence) {
  Random random(23);
  const std::vector<int32_t> seq = {1, 0, 1, 1, 0, 3};  // sequence 2 has no rows
  const int64_t t = 6, s = 4;
  for (const int64_t n : kLengths) {
    const std::vector<float> x = random.Normals(n * t);
    Model m;
    const mnw_id in = m.Input({n, kTokens, 1, 1}), of = m.StepInput(MNW_INPUT_SEQ),
                 len = m.StepInput(MNW_INPUT_SEQ_LEN);
    for (uint32_t kind : {MNW_POOL_MEAN, MNW_POOL_FIRST, MNW_POOL_LAST}) {
      m.Output(m.Emit(MNW_OP_pool, {in, of, len}, mnw_pool_params{kind, 0})[0]);
      m.Output(m.Emit(MNW_OP_pool, {in, of, len}, mnw_pool_params{kind, 1})[0]);
    }
    m.Finish();
    const auto out = RunEverywhere(
        m, {t, s, 0}, {{in, ToWords(x)}, {of, ToWords(seq)}, {len, Words(static_cast<size_t>(s))}});
    std::vector<double> want[6];
    for (int32_t i = 0; i < s; ++i) {
      std::vector<double> pooled[3];
      for (auto& p : pooled) p.resize(static_cast<size_t>(n));
      double count = 0;
      for (int64_t r = 0; r < t; ++r) {
        if (seq[static_cast<size_t>(r)] != i) continue;
        for (int64_t d = 0; d < n; ++d) {
          const double v = x[static_cast<size_t>(r * n + d)];
          pooled[0][static_cast<size_t>(d)] += v;
          if (count == 0) pooled[1][static_cast<size_t>(d)] = v;
          pooled[2][static_cast<size_t>(d)] = v;
        }
        ++count;
      }
      for (double& v : pooled[0]) v /= std::max(count, 1.0);
      for (size_t kind = 0; kind < 3; ++kind) {
        const double norm = std::max(std::sqrt(SumOfSquares(pooled[kind], 0)), 1e-12);
        for (double v : pooled[kind]) {
          want[2 * kind].push_back(v);
          want[2 * kind + 1].push_back(v / norm);
        }
      }
    }
    for (size_t i = 0; i < 6; ++i) CheckClose(want[i], ToFloats(out[i]), 3e-7, 1e-6, "pool");
  }
}

TEST(RowOps, NanAndInfinityReachTheResult) {
  const std::vector<float> odd = {kNan, kInf, -kInf, -0.0f, 1e-40f, 3e38f};
  const auto check = [&](mnw_op op, const std::vector<double>& want) {
    // In the body of a row and in its tail.
    for (const size_t before : {size_t{0}, size_t{16}, size_t{37}}) {
      std::vector<float> x(before, 0.5f);
      x.insert(x.end(), odd.begin(), odd.end());
      const std::vector<float> y = OnRow(op, x);
      CheckClose(want, std::span(y).subspan(before), 0, 1e-6, fmt::format("op {}", int{op}));
    }
  };
  check(MNW_OP_exp, {kNan, kInf, 0, 1, 1, kInf});
  check(MNW_OP_sigmoid, {kNan, 1, 0, 0.5, 0.5, 1});
  check(MNW_OP_tanh, {kNan, 1, -1, 0, 1e-40f, 1});
  check(MNW_OP_relu, {kNan, kInf, 0, 0, 1e-40f, 3e38f});
  check(MNW_OP_neg, {kNan, -kInf, kInf, 0, -1e-40f, -3e38f});
  check(MNW_OP_sqr, {kNan, kInf, kInf, 0, 0, kInf});
  check(MNW_OP_softplus, {kNan, kInf, 0, std::log(2.0), std::log(2.0), 3e38f});
  CHECK_TRUE(std::signbit(OnRow(MNW_OP_neg, {0.0f})[0]));
  CHECK_FALSE(std::signbit(OnRow(MNW_OP_neg, {-0.0f})[0]));

  for (const int64_t n : {5, 16, 40}) {
    for (int64_t at = 0; at < n; at += 3) {
      std::vector<float> x(static_cast<size_t>(n), 1.0f);
      x[static_cast<size_t>(at)] = kNan;
      for (const mnw_op op : {MNW_OP_softmax, MNW_OP_sum_row}) {
        for (float y : OnRow(op, x)) CHECK_TRUE(std::isnan(y));
      }
      OnRow(MNW_OP_max_row, x);  // the same on all levels
      x[static_cast<size_t>(at)] = -kInf;
      DOUBLES_EQUAL(0, OnRow(MNW_OP_softmax, x)[static_cast<size_t>(at)], 0);
    }
  }
}

TEST(RowOps, MaximumOfZerosIsTheSameOnAllLevels) {
  for (size_t at = 0; at < 16; ++at) {
    std::vector<float> x(16, -0.0f);
    x[at] = 0.0f;
    OnRow(MNW_OP_max_row, x);
  }
}

TEST(RowOps, ExpAndTanhKeepTheirBoundOverTheirWholeRange) {
  std::vector<float> x;
  for (double v = -104.5; v < 89.5; v += 1.0 / 512) x.push_back(static_cast<float>(v));
  const std::vector<float> exp = OnRow(MNW_OP_exp, x), tanh = OnRow(MNW_OP_tanh, x),
                           sigmoid = OnRow(MNW_OP_sigmoid, x);
  for (size_t i = 0; i < x.size(); ++i) {
    const double e = std::exp(double{x[i]});
    const std::string at = fmt::format("at {}", x[i]);
    if (e > double{std::numeric_limits<float>::max()} * 1.0000001) {
      CHECK_TEXT(std::isinf(exp[i]), at.c_str());
    } else if (e < 1.2e-38) {
      CHECK_TEXT(std::fabs(exp[i] - e) <= 0x1p-149, at.c_str());
    } else {
      CHECK_TEXT(std::fabs(exp[i] - e) <= 2e-7 * e, at.c_str());
    }
    const double t = std::tanh(double{x[i]}), s = 1 / (1 + std::exp(-double{x[i]}));
    CHECK_TEXT(std::fabs(tanh[i] - t) <= 3e-7 * std::fabs(t), at.c_str());
    CHECK_TEXT(std::fabs(sigmoid[i] - s) <= 4e-7 * s + 1.2e-38, at.c_str());
  }
  std::vector<float> tiny;
  for (int e = -149; e < 0; ++e) tiny.push_back(std::ldexp(1.3f, e));
  const std::vector<float> y = OnRow(MNW_OP_tanh, tiny);
  for (size_t i = 0; i < y.size(); ++i) {
    CHECK_TRUE(std::fabs(y[i] - std::tanh(double{tiny[i]})) <= 3e-7 * tiny[i] + 0x1p-149);
  }
}
