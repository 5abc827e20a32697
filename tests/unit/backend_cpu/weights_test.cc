// What becomes of weights: borrowed, packed or converted, and read back with their exact meaning.
#include <CppUTest/TestHarness.h>

#include <cmath>

#include "harness.h"
#include "minnow/sdk/graph_view.hpp"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_type kTypes[] = {MNW_TYPE_F32,  MNW_TYPE_F16,  MNW_TYPE_BF16,
                               MNW_TYPE_Q8_0, MNW_TYPE_Q4_0, MNW_TYPE_Q5_0,
                               MNW_TYPE_Q4_K, MNW_TYPE_Q5_K, MNW_TYPE_Q6_K};
constexpr mnw_linear_params kNoSite = {MNW_NONE};

}  // namespace

TEST_GROUP(Weights){};

TEST(Weights, TablesAndVectorsAreBorrowedMatricesOwned) {
  Random random(1);
  Model m;
  const mnw_id ids = m.Input({2, 1, 1, 1}, MNW_TYPE_I32);
  const mnw_id table = m.RandomWeight(MNW_TYPE_Q8_0, {64, 10, 1, 1}, random),
               scale = m.RandomWeight(MNW_TYPE_F32, {64, 1, 1, 1}, random),
               half = m.RandomWeight(MNW_TYPE_F16, {64, 1, 1, 1}, random),
               matrix = m.RandomWeight(MNW_TYPE_Q4_0, {64, 10, 1, 1}, random);
  mnw_id x = m.Emit(MNW_OP_get_rows, {table, ids});
  x = m.Emit(MNW_OP_rms_norm, {x, scale}, mnw_norm_params{1e-5f, 0, 0})[0];
  x = m.Emit(MNW_OP_rms_norm, {x, half}, mnw_norm_params{1e-5f, 0, 0})[0];
  m.Output(m.Emit(MNW_OP_linear, {x, matrix}, kNoSite)[0]);
  m.Finish();
  const Context c;
  const Program program(c, m, {});
  for (const mnw_id id : {table, scale}) {
    LONGS_EQUAL(MNW_BORROWED, program.weight(id).residency);
    LONGS_EQUAL(0, program.weight(id).n_bytes);
  }
  LONGS_EQUAL(MNW_OWNED, program.weight(half).residency);
  LONGS_EQUAL(64 * 4, program.weight(half).n_bytes);
  LONGS_EQUAL(MNW_OWNED, program.weight(matrix).residency);
  CHECK_TRUE(program.weight(matrix).n_bytes >= m.bytes(matrix).size());
  CHECK_TRUE(program.weight(matrix).n_bytes < 3 * m.bytes(matrix).size());
}

TEST(Weights, RowsOfATableHaveTheBitsOfTheReference) {
  Random random(2);
  for (const mnw_type type : kTypes) {
    for (const bool tied : {false, true}) {
      const int64_t k = 256, n = 35;
      std::vector<int32_t> rows = {0, 15, 16, 34, 7, 31, 32, 0};
      Model m;
      const mnw_id ids = m.Input({8, 1, 1, 1}, MNW_TYPE_I32),
                   table = m.RandomWeight(type, {k, n, 1, 1}, random),
                   x = m.Emit(MNW_OP_get_rows, {table, ids});
      m.Output(x);
      if (tied) m.Output(m.Emit(MNW_OP_lm_head, {x, table}, mnw_lm_head_params{1, 0, MNW_NONE})[0]);
      m.Finish();
      const auto out = RunEverywhere(m, {}, {{ids, ToWords(rows)}});
      const std::vector<float> values = m.values(table);
      std::vector<float> want;
      for (const int32_t row : rows)
        want.insert(want.end(), values.begin() + row * k, values.begin() + (row + 1) * k);
      CheckSameBits(ToWords(want), out[0], fmt::format("type {}, tied {}", int{type}, tied));
      if (!tied) continue;
      // Packed once: one handle, about the size of the tensor.
      const Context c;
      const Program program(c, m, {});
      LONGS_EQUAL(MNW_OWNED, program.weight(table).residency);
      CHECK_TRUE(program.weight(table).n_bytes < 2 * m.bytes(table).size());
    }
  }
}

TEST(Weights, ATableMayHaveOneRow) {
  Random random(3);
  for (const mnw_type type : kTypes) {
    Model m;
    const mnw_id ids = m.Input({3, 1, 1, 1}, MNW_TYPE_I32),
                 table = m.RandomWeight(type, {256, 1, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_get_rows, {table, ids}));
    m.Finish();
    const Words out = RunEverywhere(m, {}, {{ids, Words(3)}})[0];
    CheckSameBits(ToWords(m.values(table)), Words(out.begin() + 256, out.begin() + 512), "one row");
  }
}

TEST(Weights, OneTensorMayBeMatrixVectorAndTable) {
  Random random(4);
  for (const mnw_type type : kTypes) {
    const std::vector<float> values = random.Normals(256);
    Model m;
    const mnw_id x = m.Input({256, 1, 1, 1}), ids = m.Input({1, 1, 1, 1}, MNW_TYPE_I32);
    const auto weight = [&] { return m.Weight(type, {256, 1, 1, 1}, values); };
    const auto emit = [&](mnw_id matrix, mnw_id vector, mnw_id table) {
      m.Output(m.Emit(MNW_OP_linear, {x, matrix}, kNoSite)[0]);
      m.Output(m.Emit(MNW_OP_rms_norm, {x, vector}, mnw_norm_params{1e-5f, 0, 0})[0]);
      m.Output(m.Emit(MNW_OP_get_rows, {table, ids}));
    };
    const mnw_id all = weight(), vector_and_table = weight();
    emit(weight(), weight(), weight());
    emit(all, all, all);
    emit(weight(), vector_and_table, vector_and_table);
    m.Finish();
    const auto out = RunEverywhere(m, {}, {{x, ToWords(random.Normals(256))}, {ids, Words(1)}});
    for (size_t i = 3; i < 9; ++i)
      CheckSameBits(out[i % 3], out[i], fmt::format("type {}", int{type}));
  }
}

TEST(Weights, ElementwiseOpsReadWeights) {
  Random random(5);
  Model m;
  const mnw_id x = m.Input({20, 3, 1, 1}), w = m.RandomWeight(MNW_TYPE_F32, {20, 3, 1, 1}, random);
  m.Output(m.Emit(MNW_OP_sub, {w, x}));
  m.Output(m.Emit(MNW_OP_sub, {x, w}));
  m.Output(m.Emit(MNW_OP_neg, {w}));
  m.Output(m.Emit(MNW_OP_copy, {w}, mnw_copy_params{MNW_TYPE_F32})[0]);
  m.Output(m.Emit(MNW_OP_concat, {w, x}));
  m.Finish();
  const std::vector<float> xv = random.Normals(60), wv = m.values(w);
  const auto out = RunEverywhere(m, {}, {{x, ToWords(xv)}});
  for (size_t i = 0; i < 60; ++i) {
    DOUBLES_EQUAL(wv[i] - xv[i], ToFloats(out[0])[i], 0);
    DOUBLES_EQUAL(xv[i] - wv[i], ToFloats(out[1])[i], 0);
    DOUBLES_EQUAL(-wv[i], ToFloats(out[2])[i], 0);
    DOUBLES_EQUAL(wv[i], ToFloats(out[3])[i], 0);
    DOUBLES_EQUAL(wv[i], ToFloats(out[4])[i / 20 * 40 + i % 20], 0);
    DOUBLES_EQUAL(xv[i], ToFloats(out[4])[i / 20 * 40 + 20 + i % 20], 0);
  }
}

TEST(Weights, VectorsMayBeActivations) {
  Random random(6);
  const std::vector<float> b = random.Normals(20), w = random.Normals(64);
  Model m;
  const mnw_id x = m.Input({64, 3, 1, 1}), bias = m.Input({20, 1, 1, 1}),
               scale = m.Input({64, 1, 1, 1}),
               matrix = m.RandomWeight(MNW_TYPE_Q8_0, {64, 20, 1, 1}, random),
               fixed_bias = m.Vector(b), fixed_scale = m.Vector(w);
  for (const mnw_id id : {bias, fixed_bias})
    m.Output(m.Emit(MNW_OP_linear, {x, matrix, id}, kNoSite)[0]);
  for (const mnw_id id : {scale, fixed_scale}) {
    m.Output(m.Emit(MNW_OP_rms_norm, {x, id}, mnw_norm_params{1e-5f, 0, 0})[0]);
  }
  m.Finish();
  const auto out = RunEverywhere(
      m, {}, {{x, ToWords(random.Normals(192))}, {bias, ToWords(b)}, {scale, ToWords(w)}});
  CheckSameBits(out[1], out[0], "bias");
  CheckSameBits(out[3], out[2], "norm");
}

TEST(Weights, TooFewBytesAreRefusedByName) {
  Random random(7);
  Model m;
  const mnw_id x = m.Input({64, 1, 1, 1}),
               w = m.RandomWeight(MNW_TYPE_Q8_0, {64, 20, 1, 1}, random);
  m.Output(m.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
  m.Finish();
  const Context c;
  const mnw_weight_source source = {sizeof source, w, m.bytes(w).data(), m.bytes(w).size() - 1};
  mnw_weight out{};
  mnw_error e{};
  LONGS_EQUAL(MNW_INVALID, Backend().load_weights(c.get(), m.graph().view(), &source, 1,
                                                  sizeof source, &out, &e));
  STRCMP_CONTAINS("weight0", e.message);
}
