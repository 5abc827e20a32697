// Types without a kernel of their own: every op computes with their F32 meaning, bit by bit, and
// their weights stay where they are.
#include <CppUTest/TestHarness.h>

#include "harness.h"
#include "kernels/linear.h"
#include "minnow/sdk/graph_view.hpp"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_linear_params kNoSite = {MNW_NONE};
constexpr mnw_type kIntegers[] = {MNW_TYPE_I8, MNW_TYPE_I16, MNW_TYPE_I32, MNW_TYPE_I64};

std::vector<mnw_type> DecodedTypes() {
  std::vector<mnw_type> types;
#define MNW_TYPE(name, id, elements, bytes) types.push_back(MNW_TYPE_##name);
#include "minnow/abi/types.def"
#undef MNW_TYPE
  std::erase_if(types, [](mnw_type type) {
    return cpu::ref::Linear().Find(type) || std::ranges::find(kIntegers, type) != kIntegers + 4;
  });
  return types;
}

// A weight, and one of its values in F32.
struct Twins {
  mnw_id decoded, plain;
  Twins(Model& m, mnw_type type, const Dims& dims, Random& random)
      : decoded(m.RandomBlocks(type, dims, random)),
        plain(m.Weight(MNW_TYPE_F32, dims, m.values(decoded))) {}
};

// Runs with 1 and 7 rows; the first half of the outputs must be the second.
void CheckHalves(Model& m, mnw_id x, int64_t k, Random& random, const std::string& what,
                 const Inputs& more = {}) {
  m.Finish();
  for (const int64_t t : {1, 7}) {
    Inputs inputs = more;
    inputs[x] = ToWords(random.Normals(k * t));
    const auto out = RunEverywhere(m, {t, 0, 0}, inputs);
    for (size_t i = 0; i < out.size() / 2; ++i)
      CheckSameBits(out[i + out.size() / 2], out[i], fmt::format("{}, {} rows", what, t));
  }
}

}  // namespace

TEST_GROUP(DecodedTypes){};

TEST(DecodedTypes, LinearHeadAndTableHaveTheBitsOfTheirF32Meaning) {
  Random random(1);
  for (const mnw_type type : DecodedTypes()) {
    const int64_t k = 256, n = 35;
    Model m;
    const mnw_id x = m.Input({k, kTokens, 1, 1}), ids = m.Input({3, 1, 1, 1}, MNW_TYPE_I32);
    const mnw_id bias = m.RandomWeight(MNW_TYPE_F32, {n, 1, 1, 1}, random);
    const Twins w(m, type, {k, n, 1, 1}, random), v(m, type, {k, 1, 1, 1}, random);
    for (const auto& [matrix, vector] : {std::pair{w.decoded, v.decoded}, {w.plain, v.plain}}) {
      m.Output(m.Emit(MNW_OP_linear, {x, matrix, bias}, kNoSite)[0]);
      m.Output(m.Emit(MNW_OP_lm_head, {x, matrix}, mnw_lm_head_params{0.5f, 30, MNW_NONE})[0]);
      m.Output(m.Emit(MNW_OP_get_rows, {matrix, ids}));
      m.Output(m.Emit(MNW_OP_rms_norm, {x, vector}, mnw_norm_params{1e-5f, 0, 0})[0]);
    }
    CheckHalves(m, x, k, random, fmt::format("type {}", int{type}),
                {{ids, ToWords(std::vector<int32_t>{34, 0, 17})}});
  }
}

TEST(DecodedTypes, FusedOpsMixThemWithOthers) {
  Random random(2);
  const int64_t k = 256, f = 256, n = 37;
  const auto small = [&](Model& m, mnw_type type, const Dims& dims) {
    return m.RandomWeight(type, dims, random, 0.1f);
  };
  Model m;
  const mnw_id x = m.Input({k, kTokens, 1, 1}), fast = small(m, MNW_TYPE_Q4_K, {k, n, 1, 1}),
               down = small(m, MNW_TYPE_Q8_0, {f, n, 1, 1});
  const Twins a(m, MNW_TYPE_Q2_K, {k, f, 1, 1}, random),
      b(m, MNW_TYPE_IQ4_XS, {k, f, 1, 1}, random), c(m, MNW_TYPE_Q3_K, {f, n, 1, 1}, random),
      both(m, MNW_TYPE_TQ2_0, {k, 2 * f, 1, 1}, random);
  const mnw_glu_params silu = {MNW_ACT_SILU, MNW_NONE};
  for (const auto member : {&Twins::decoded, &Twins::plain}) {
    m.OutputAll(m.Emit(MNW_OP_qkv, {x, a.*member, fast, b.*member}, kNoSite));
    m.Output(m.Emit(MNW_OP_glu_ffn, {x, a.*member, b.*member, c.*member}, silu)[0]);
    m.Output(m.Emit(MNW_OP_glu_ffn, {x, both.*member, MNW_NONE, down}, silu)[0]);
  }
  CheckHalves(m, x, k, random, "fused");
}

TEST(DecodedTypes, ExpertsMayBeOfThem) {
  Random random(3);
  const int64_t k = 256, f = 256, n = 20, experts = 5;
  Model m;
  const mnw_id x = m.Input({k, kTokens, 1, 1}),
               router = m.RandomWeight(MNW_TYPE_F32, {k, experts, 1, 1}, random, 0.1f);
  const Twins gate(m, MNW_TYPE_IQ3_S, {k, f, experts, 1}, random),
      up(m, MNW_TYPE_MXFP4, {k, f, experts, 1}, random),
      down(m, MNW_TYPE_IQ1_M, {f, n, experts, 1}, random);
  mnw_moe_params params{};
  params.n_used = 2;
  for (const auto member : {&Twins::decoded, &Twins::plain}) {
    m.Output(
        m.Emit(MNW_OP_moe_ffn, {x, router, gate.*member, up.*member, down.*member}, params)[0]);
  }
  CheckHalves(m, x, k, random, "experts");
}

TEST(DecodedTypes, WeightsStayBorrowed) {
  Random random(4);
  Model m;
  const mnw_id x = m.Input({256, kTokens, 1, 1}),
               w = m.RandomBlocks(MNW_TYPE_Q3_K, {256, 40, 1, 1}, random);
  m.Output(m.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
  m.Finish();
  const Context c;
  const Program program(c, m, {1, 0, 0});
  LONGS_EQUAL(MNW_BORROWED, program.weight(w).residency);
  LONGS_EQUAL(0, program.weight(w).n_bytes);
}

TEST(DecodedTypes, IntegersAreRefused) {
  Random random(5);
  for (const mnw_type type : kIntegers) {
    Model m;
    const mnw_id x = m.Input({64, kTokens, 1, 1});
    const mnw_id w = m.RandomBlocks(type, {64, 8, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
    m.Finish();
    const Context c;
    STRCMP_EQUAL("a weight of integers", Refusals(c, m)[0].c_str());
  }
}
