// Adapters: deltas of rows against double precision, bit by bit against the same rows alone and
// against rows that have none.
#include <CppUTest/TestHarness.h>

#include <algorithm>

#include "harness.h"
#include "minnow/sdk/half.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr int64_t kK = 256, kN = 35, kF = 96;
constexpr mnw_type kTypes[] = {MNW_TYPE_F32, MNW_TYPE_Q8_0, MNW_TYPE_Q4_K};

TestDelta MakeDelta(Random& random, uint32_t slot, uint32_t site, uint32_t rank, int64_t k,
                    int64_t n) {
  return {slot, site, rank, random.Normals(rank * k, 0.1f), random.Normals(n * rank, 0.3f), 0.7f};
}

TestDelta AtSite(TestDelta delta, uint32_t site) {
  delta.site = site;
  return delta;
}

// Columns [n0, n0+n) of a delta as a delta of its own.
TestDelta Rows(TestDelta delta, uint32_t site, int64_t n0, int64_t n) {
  const auto rank = static_cast<int64_t>(delta.rank);
  delta.b = {delta.b.begin() + n0 * rank, delta.b.begin() + (n0 + n) * rank};
  return AtSite(std::move(delta), site);
}

// y[t] += scale * B (A x[t]) where slots[t] is the delta's.
void AddDelta(const TestDelta& d, std::span<const float> x, std::span<const int32_t> slots,
              std::vector<double>* y) {
  const size_t k = d.a.size() / d.rank, n = d.b.size() / d.rank;
  for (size_t t = 0; t < slots.size(); ++t) {
    if (slots[t] != static_cast<int32_t>(d.slot)) continue;
    for (size_t r = 0; r < d.rank; ++r) {
      double u = 0;
      for (size_t i = 0; i < k; ++i) u += double{d.a[r * k + i]} * x[t * k + i];
      for (size_t i = 0; i < n; ++i) (*y)[t * n + i] += double{d.scale} * d.b[i * d.rank + r] * u;
    }
  }
}

// Rows of several slots in runs of every length, some without.
std::vector<int32_t> MixedSlots(int64_t t) {
  std::vector<int32_t> slots;
  for (int64_t i = 0; i < t; ++i) {
    slots.push_back(i < 80 ? 1 : static_cast<int32_t>(i * i / 7 % 4) - 1);
  }
  return slots;
}

Words Row(const Words& all, int64_t row, int64_t n) {
  return Words(all.begin() + row * n, all.begin() + (row + 1) * n);
}

}  // namespace

TEST_GROUP(Adapters) { Random random{1}; };

TEST(Adapters, AddTheDeltaOfEachRowsSlotBeforeTheBias) {
  for (const mnw_type type : kTypes) {
    for (const int64_t t : {1, 9, 100}) {
      Model m;
      const mnw_id x = m.Input({kK, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_ADAPTER),
                   w = m.RandomWeight(type, {kK, kN, 1, 1}, random),
                   bias = m.RandomWeight(MNW_TYPE_F32, {kN, 1, 1, 1}, random, 100);
      m.Output(m.Emit(MNW_OP_linear, {x, w, bias}, mnw_linear_params{MNW_NONE})[0]);
      m.Output(m.Emit(MNW_OP_linear, {x, w, bias, slots}, mnw_linear_params{5})[0]);
      m.Output(m.Emit(MNW_OP_linear, {x, w, MNW_NONE, slots}, mnw_linear_params{8})[0]);
      m.Finish();
      // Ranks of less than a panel, of one, and of more than three with a part.
      std::vector<TestDelta> deltas;
      for (const auto& [slot, rank] : {std::pair{0u, 1u}, {1u, 16u}, {2u, 51u}}) {
        deltas.push_back(MakeDelta(random, slot, 5, rank, kK, kN));
        deltas.push_back(AtSite(deltas.back(), 8));
      }
      const std::vector<float> xv = random.Normals(kK * t);
      const std::vector<int32_t> ids = MixedSlots(t);
      const auto out =
          RunEverywhere(m, {t, 0, 0}, {{x, ToWords(xv)}, {slots, ToWords(ids)}}, deltas);

      const std::vector<float> base = ToFloats(out[0]), got = ToFloats(out[1]),
                               bare = ToFloats(out[2]), b = m.values(bias);
      std::vector<double> want(base.begin(), base.end());
      for (const TestDelta& d : deltas) {
        if (d.site == 5) AddDelta(d, xv, ids, &want);
      }
      CheckClose(want, got, 1e-4, 1e-6, fmt::format("type {}, {} rows", int{type}, t));
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(got[i] == bare[i] + b[i % static_cast<size_t>(kN)]);  // the bias comes last
        const int32_t slot = ids[i / static_cast<size_t>(kN)];
        if (slot < 0) CHECK(got[i] == base[i]);
      }
    }
  }
}

TEST(Adapters, ARowsBitsDependOnItsOwnAdapterAlone) {
  for (const mnw_type type : kTypes) {
    Model m;
    const mnw_id x = m.Input({kK, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_ADAPTER);
    mnw_id w[3];
    for (mnw_id& id : w) id = m.RandomWeight(type, {kK, kK, 1, 1}, random, 0.05f);
    m.Output(
        m.Emit(MNW_OP_glu_ffn, {x, w[0], w[1], w[2], slots}, mnw_glu_params{MNW_ACT_SILU, 0})[0]);
    m.Finish();
    const Context c("", 2);
    Adapters adapters(c, m, 4, 32);
    for (uint32_t slot = 0; slot < 3; ++slot) {
      for (uint32_t site = 0; site < 3; ++site) {
        // A slot need not have all sites.
        if (site != slot) adapters.Set(MakeDelta(random, slot, site, 8 + 9 * slot, kK, kK));
      }
    }
    constexpr int64_t kT = 150;
    Program program(c, m, {kT, 0, 0}, nullptr, &adapters);
    const std::vector<float> xv = random.Normals(kK * kT);
    const std::vector<int32_t> ids = MixedSlots(kT);
    const Words all = program.Run({kT, 0, 0}, {{x, ToWords(xv)}, {slots, ToWords(ids)}})[0];
    for (int64_t t = 0; t < kT; t += 7) {
      const auto one = program.Run(
          {1, 0, 0}, {{x, Row(ToWords(xv), t, kK)}, {slots, Row(ToWords(ids), t, 1)}})[0];
      CheckSameBits(one, Row(all, t, kK), fmt::format("type {}, row {}", int{type}, t));
    }
  }
}

// Two more ranks that add nothing have values that neither F16 nor BF16 holds.
TestDelta AsF32(const TestDelta& d, uint32_t site) {
  TestDelta wide{d.slot, site, d.rank + 2, d.a, {}, d.scale};
  const size_t k = d.a.size() / d.rank;
  wide.a.insert(wide.a.end(), k, 0.1f);
  wide.a.insert(wide.a.end(), k, 0.0f);
  for (auto row = d.b.begin(); row != d.b.end(); row += d.rank) {
    wide.b.insert(wide.b.end(), row, row + d.rank);
    wide.b.insert(wide.b.end(), {0.0f, 0.1f});
  }
  return wide;
}

TEST(Adapters, HaveTheSameBitsInWhateverTypeTheyAreKept) {
  constexpr uint32_t kRank = 19;
  const auto f16 = [](float v) { return F16ToF32(F32ToF16(v)); };
  const auto bf16 = [](float v) { return BF16ToF32(F32ToBF16(v)); };
  for (const bool half : {true, false}) {
    const auto narrow = [&](std::vector<float>& values) {
      for (float& v : values) v = half ? f16(v) : bf16(v);
      values[1] = -0.0f;
      values[2] = half ? 0x1p-24f : 0x1p-120f;  // the smallest of F16; what F16 does not have
    };
    TestDelta delta = MakeDelta(random, 1, 5, kRank, kK, kN);
    narrow(delta.a);
    narrow(delta.b);
    delta.scale = 2;
    Model m;
    const mnw_id x = m.Input({kK, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_ADAPTER),
                 w = m.RandomWeight(MNW_TYPE_Q8_0, {kK, kN, 1, 1}, random);
    for (const uint32_t site : {5u, 8u}) {
      m.Output(m.Emit(MNW_OP_linear, {x, w, MNW_NONE, slots}, mnw_linear_params{site})[0]);
    }
    m.Finish();
    const std::vector<TestDelta> deltas = {delta, AsF32(delta, 8)};
    for (const int64_t t : {1, 70}) {
      const Inputs inputs = {{x, ToWords(random.Normals(kK * t))},
                             {slots, ToWords(std::vector<int32_t>(static_cast<size_t>(t), 1))}};
      const auto out = RunEverywhere(m, {t, 0, 0}, inputs, deltas);
      CheckSameBits(out[1], out[0], half ? "F16" : "BF16");
    }
    const Context c;
    Adapters narrow_pool(c, m, 2, 32), wide_pool(c, m, 2, 32);
    narrow_pool.Set(deltas[0]);
    wide_pool.Set(deltas[1]);
    CHECK(Backend().adapters_bytes(narrow_pool.get()) * 2 <=
          Backend().adapters_bytes(wide_pool.get()));
  }
}

TEST(Adapters, QkvIsThreeLinearsWithASiteEach) {
  const int64_t sizes[] = {64, 16, 31}, t = 70;
  Model m;
  const mnw_id x = m.Input({kK, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_ADAPTER);
  const mnw_type types[] = {MNW_TYPE_Q4_K, MNW_TYPE_F32, MNW_TYPE_Q8_0};
  mnw_id w[3];
  std::vector<TestDelta> deltas;
  for (uint32_t i = 0; i < 3; ++i) {
    w[i] = m.RandomWeight(types[i], {kK, sizes[i], 1, 1}, random);
    deltas.push_back(MakeDelta(random, i, 10 + i, 16, kK, sizes[i]));
    deltas.push_back(MakeDelta(random, 1, 10 + i, 16, kK, sizes[i]));
  }
  const Outs fused = m.Emit(MNW_OP_qkv, {x, w[0], w[1], w[2], MNW_NONE, MNW_NONE, MNW_NONE, slots},
                            mnw_linear_params{10});
  m.OutputAll(fused);
  for (uint32_t i = 0; i < 3; ++i) {
    m.Output(m.Emit(MNW_OP_linear, {x, w[i], MNW_NONE, slots}, mnw_linear_params{20 + i})[0]);
  }
  m.Finish();
  for (size_t i = 0, n = deltas.size(); i < n; ++i) {
    deltas.push_back(AtSite(deltas[i], deltas[i].site + 10));
  }
  const auto out = RunEverywhere(
      m, {t, 0, 0}, {{x, ToWords(random.Normals(kK * t))}, {slots, ToWords(MixedSlots(t))}},
      deltas);
  for (size_t i = 0; i < 3; ++i) CheckSameBits(out[3 + i], out[i], fmt::format("part {}", i));
}

TEST(Adapters, GatedFeedForwardIsWhatItIsMadeOf) {
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_Q8_0}) {
    const int64_t t = 90;
    Model m;
    const std::vector<float> gate = random.Normals(kK * kF, 0.06f), up = random.Normals(kK * kF);
    std::vector<float> both = gate;
    both.insert(both.end(), up.begin(), up.end());
    const mnw_id x = m.Input({kK, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_ADAPTER),
                 g = m.Weight(type, {kK, kF, 1, 1}, gate), u = m.Weight(type, {kK, kF, 1, 1}, up),
                 gu = m.Weight(type, {kK, 2 * kF, 1, 1}, both),
                 d = m.RandomWeight(type, {kF, kN, 1, 1}, random);
    const auto linear = [&](mnw_id in, mnw_id w, uint32_t site) {
      return m.Emit(MNW_OP_linear, {in, w, MNW_NONE, slots}, mnw_linear_params{site})[0];
    };
    m.Output(m.Emit(MNW_OP_glu_ffn, {x, g, u, d, slots}, mnw_glu_params{MNW_ACT_GELU, 0})[0]);
    m.Output(
        m.Emit(MNW_OP_glu_ffn, {x, gu, MNW_NONE, d, slots}, mnw_glu_params{MNW_ACT_GELU, 10})[0]);
    const mnw_id hidden =
        m.Emit(MNW_OP_mul, {m.Emit(MNW_OP_gelu, {linear(x, g, 20)}), linear(x, u, 21)});
    m.Output(linear(hidden, d, 22));
    m.Finish();
    std::vector<TestDelta> deltas;
    for (uint32_t slot = 0; slot < 3; ++slot) {
      // Slot 2 has nothing for down: then nothing of the hidden rows is kept as f32.
      const TestDelta joint = MakeDelta(random, slot, 10, 12, kK, 2 * kF);
      deltas.push_back(joint);
      for (const uint32_t site : {0u, 20u}) {
        deltas.push_back(Rows(joint, site, 0, kF));
        deltas.push_back(Rows(joint, site + 1, kF, kF));
      }
      const TestDelta down = MakeDelta(random, slot, 2, 16, kF, kN);
      for (const uint32_t site : {2u, 12u, 22u}) {
        if (slot < 2) deltas.push_back(AtSite(down, site));
      }
    }
    const auto out = RunEverywhere(
        m, {t, 0, 0}, {{x, ToWords(random.Normals(kK * t))}, {slots, ToWords(MixedSlots(t))}},
        deltas);
    CheckSameBits(out[2], out[0], "decomposed");
    CheckSameBits(out[0], out[1], "gate and up in one tensor");
  }
}

TEST(Adapters, TheHeadAddsItsDeltaBeforeScaleAndCap) {
  const int64_t o = 5;
  Model m;
  const mnw_id x = m.Input({kK, kOut, 1, 1}), slots = m.StepInput(MNW_INPUT_OUT_ADAPTER),
               w = m.RandomWeight(MNW_TYPE_Q8_0, {kK, kN, 1, 1}, random);
  m.Output(m.Emit(MNW_OP_lm_head, {x, w, slots}, mnw_lm_head_params{0.5f, 30, 1})[0]);
  const mnw_id y = m.Emit(MNW_OP_linear, {x, w, MNW_NONE, slots}, mnw_linear_params{2})[0];
  m.Output(m.Emit(MNW_OP_softcap, {m.Emit(MNW_OP_scale, {y}, mnw_scale_params{0.5f, 0})[0]},
                  mnw_softcap_params{30})[0]);
  m.Finish();
  const TestDelta delta = MakeDelta(random, 3, 1, 16, kK, kN);
  const TestDelta deltas[] = {delta, AtSite(delta, 2)};
  const std::vector<int32_t> ids = {3, -1, 3, 0, 3};
  const auto out = RunEverywhere(
      m, {0, 0, o}, {{x, ToWords(random.Normals(kK * o))}, {slots, ToWords(ids)}}, deltas);
  CheckSameBits(out[1], out[0], "lm_head");
}

TEST_GROUP(AdapterPool) {
  Random random{2};
  Model m;
  mnw_id x = m.Input({kK, kTokens, 1, 1});
  mnw_id slots = m.StepInput(MNW_INPUT_ADAPTER);
  void setup() override {
    const mnw_id w = m.RandomWeight(MNW_TYPE_F32, {kK, kN, 1, 1}, random);
    m.Output(m.Emit(MNW_OP_linear, {x, w, MNW_NONE, slots}, mnw_linear_params{7})[0]);
    m.Finish();
  }
};

TEST(AdapterPool, SlotsAreFilledReplacedAndEmptiedBetweenRuns) {
  const Context c;
  Adapters adapters(c, m, 2, 16);
  Program program(c, m, {1, 0, 0}, nullptr, &adapters);
  const Inputs inputs = {{x, ToWords(random.Normals(kK))}, {slots, {1}}};
  const auto run = [&] { return program.Run({1, 0, 0}, inputs)[0]; };
  const Words base = run();
  LONGS_EQUAL(0, Backend().adapters_bytes(adapters.get()));

  TestDelta delta = MakeDelta(random, 1, 7, 16, kK, kN);
  adapters.Set(delta);
  const uint64_t bytes = Backend().adapters_bytes(adapters.get());
  CHECK(bytes >= (kK + kN) * 16 * sizeof(float));
  const Words first = run();
  CHECK(first != base);
  TestDelta other = MakeDelta(random, 0, 7, 16, kK, kN);
  adapters.Set(other);  // another slot
  CheckSameBits(first, run(), "with a neighbour");
  other.slot = 1;
  adapters.Set(other);
  CHECK(run() != first);
  adapters.Set(delta);
  CheckSameBits(first, run(), "set again");

  delta.rank = 0;
  adapters.Set(delta);
  CheckSameBits(base, run(), "emptied");
  LONGS_EQUAL(bytes, Backend().adapters_bytes(adapters.get()));  // the neighbour's
}

TEST(AdapterPool, RefusesWhatItHasNoPlaceFor) {
  const Context c;
  Adapters adapters(c, m, 2, 16);
  std::string message;
  TestDelta delta = MakeDelta(random, 1, 7, 17, kK, kN);
  LONGS_EQUAL(MNW_INVALID, adapters.TrySet(delta, &message));
  STRCMP_EQUAL("rank 17 is above the pool's 16", message.c_str());
  delta.rank = 16;
  delta.slot = 2;
  LONGS_EQUAL(MNW_INVALID, adapters.TrySet(delta, &message));
  STRCMP_EQUAL("there is no slot 2 with a site 7", message.c_str());
  delta.slot = 0;
  delta.site = 6;
  LONGS_EQUAL(MNW_INVALID, adapters.TrySet(delta, &message));
  STRCMP_EQUAL("there is no slot 0 with a site 6", message.c_str());
}

TEST(AdapterPool, ARowOfASlotThatIsNotThereFailsTheStep) {
  const Context c;
  Adapters adapters(c, m, 2, 16);
  Program program(c, m, {1, 0, 0}, nullptr, &adapters);
  for (int32_t slot : {2, -2}) {
    std::vector<float> in(kK), out(kN);
    const mnw_binding bindings[] = {
        {x, 0, in.data()}, {slots, 0, &slot}, {m.graph().outputs()[0], 0, out.data()}};
    std::string message;
    LONGS_EQUAL(MNW_OUT_OF_RANGE, program.TryRun({1, 0, 0}, bindings, &message));
    STRCMP_EQUAL(fmt::format("row 0 has adapter slot {}", slot).c_str(), message.c_str());
  }
}

TEST(AdapterPool, APlanWithSitesNeedsItsPool) {
  const Context c;
  Model other;
  const mnw_id w = other.RandomWeight(MNW_TYPE_F32, {kK, kN, 1, 1}, random);
  other.Output(other.Emit(
      MNW_OP_linear,
      {other.Input({kK, kTokens, 1, 1}), w, MNW_NONE, other.StepInput(MNW_INPUT_ADAPTER)},
      mnw_linear_params{8})[0]);
  other.Finish();
  const Adapters wrong(c, other, 2, 16);
  std::vector<void*> weights(m.graph().values().size());
  for (mnw_adapters* pool : {static_cast<mnw_adapters*>(nullptr), wrong.get()}) {
    mnw_plan_request request{};
    request.size = sizeof request;
    request.graph = m.graph().view();
    request.weights = weights.data();
    request.adapters = pool;
    mnw_plan* plan = nullptr;
    mnw_error e{};
    LONGS_EQUAL(MNW_INVALID, Backend().plan(c.get(), &request, &plan, &e));
    STRCMP_EQUAL("an adapter site that is not in the request's pool", e.message);
  }
}
