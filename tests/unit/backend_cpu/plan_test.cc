// Plans: scratch that never overlaps, one plan for all sizes of a step, threads and contexts beside
// each other, and runs that are refused.
#include <CppUTest/TestHarness.h>

#include <cmath>
#include <thread>

#include "harness.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

constexpr mnw_linear_params kNoSite = {MNW_NONE};

// A random graph over rows of 64. With all_outputs every intermediate value is bound to memory of
// its own instead of lying in scratch.
struct RandomModel {
  RandomModel(uint32_t seed, bool all_outputs) {
    Random random(seed);
    x = model.Input({64, kTokens, 1, 1});
    positions = model.StepInput(MNW_INPUT_POSITIONS);
    std::vector<mnw_id> values = {x};
    std::vector<mnw_id> made;
    const auto any = [&] {
      return values[static_cast<size_t>(random.Below(static_cast<int>(values.size())))];
    };
    const auto add = [&](mnw_id id) {
      values.push_back(id);
      made.push_back(id);
    };
    const int n = 5 + random.Below(20);
    for (int i = 0; i < n; ++i) Grow(random, any, add);
    for (const mnw_id id : made) {
      if (all_outputs || id == made.back()) last = model.Output(id);
    }
    model.Finish();
  }

  template <class Any, class Add>
  void Grow(Random& random, const Any& any, const Add& add) {
    constexpr mnw_type kMatrix[] = {MNW_TYPE_F32, MNW_TYPE_F16, MNW_TYPE_Q8_0, MNW_TYPE_Q4_0};
    const auto matrix = [&](int64_t k, int64_t n) {
      return model.RandomWeight(kMatrix[random.Below(4)], {k, n, 1, 1}, random, 0.1f);
    };
    switch (random.Below(10)) {
      case 0:
        return add(model.Emit(MNW_OP_add, {any(), any()}));
      case 1:
        return add(model.Emit(MNW_OP_mul, {any(), any()}));
      case 2:
        return add(model.Emit(MNW_OP_silu, {any()}));
      case 3:
        return add(model.Emit(MNW_OP_softmax, {any()}));
      case 4:
        return add(model.Emit(MNW_OP_linear, {any(), matrix(64, 64)}, kNoSite)[0]);
      case 5: {
        const mnw_id w = matrix(64, 96), v = matrix(64, 96);
        return add(model.Emit(MNW_OP_glu_ffn, {any(), w, v, matrix(96, 64)},
                              mnw_glu_params{MNW_ACT_GELU, MNW_NONE})[0]);
      }
      case 6: {
        const mnw_id w = model.RandomWeight(MNW_TYPE_F32, {64, 1, 1, 1}, random);
        const Outs outs =
            model.Emit(MNW_OP_add_norm, {any(), any(), w}, mnw_norm_params{1e-5f, 0, 0});
        add(outs[0]);
        return add(outs[1]);
      }
      case 7: {
        const mnw_id heads = model.Reshape(any(), {16, 4, kTokens, 1});
        const mnw_rope_params p = {MNW_ROPE_NEOX, MNW_ROPE_PLAIN, 16, 10000, 1, 1, 0, 0, 0};
        const mnw_id turned = model.Emit(MNW_OP_rope, {heads, positions}, p)[0];
        return add(model.Emit(MNW_OP_copy, {model.Reshape(turned, {64, kTokens, 1, 1})},
                              mnw_copy_params{MNW_TYPE_F32})[0]);
      }
      case 8: {
        const mnw_id wq = matrix(64, 64), wk = matrix(64, 32), wv = matrix(64, 32);
        const Outs outs = model.Emit(MNW_OP_qkv, {any(), wq, wk, wv}, kNoSite);
        add(outs[0]);
        return add(model.Emit(MNW_OP_concat, {outs[1], outs[2]}));
      }
      default: {
        const mnw_id of = any();
        const mnw_id left = model.View(of, {32, kTokens, 1, 1}, {4, 256, 4, 4}),
                     right = model.View(of, {32, kTokens, 1, 1}, {4, 256, 4, 4}, 128);
        return add(model.Emit(MNW_OP_concat, {right, left}));
      }
    }
  }

  Inputs inputs(int64_t t) const {
    Random random(99);
    std::vector<int32_t> at;
    for (int32_t i = 0; i < t; ++i) at.push_back(3 * i);
    return {{x, ToWords(random.Normals(64 * t))}, {positions, ToWords(at)}};
  }

  Model model;
  mnw_id x, positions;
  size_t last = 0;
};

Words FirstRows(const Words& rows, int64_t n, int64_t width = 64) {
  return Words(rows.begin(), rows.begin() + n * width);
}

}  // namespace

TEST_GROUP(Plan){};

TEST(Plan, ValuesThatLiveTogetherDoNotOverlap) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const RandomModel scratch(seed, false), apart(seed, true);
    const Context c("", 1 + seed % 3);
    const int64_t t = 1 + seed % 9;
    Program a(c, scratch.model, {9, 0, 0}), b(c, apart.model, {9, 0, 0});
    CheckSameBits(b.Run({t, 0, 0}, apart.inputs(t))[apart.last],
                  a.Run({t, 0, 0}, scratch.inputs(t))[scratch.last], fmt::format("graph {}", seed));
  }
}

TEST(Plan, OnePlanServesStepsOfEverySize) {
  for (uint32_t seed = 0; seed < 12; ++seed) {
    const RandomModel m(seed, false);
    const Context c("", 2);
    Program program(c, m.model, {70, 0, 0});
    const Words all = program.Run({70, 0, 0}, m.inputs(70))[m.last];
    for (int64_t t = 0; t <= 70; ++t) {
      CheckSameBits(FirstRows(all, t), program.Run({t, 0, 0}, m.inputs(t))[m.last],
                    fmt::format("{} rows", t));
    }
  }
}

TEST(Plan, ThreadsDoNotChangeBits) {
  for (uint32_t seed = 20; seed < 40; ++seed) {
    const RandomModel m(seed, false);
    Words first;
    for (const uint32_t n_threads : {1u, 2u, 3u, 4u}) {
      const Context c("", n_threads);
      Program program(c, m.model, {33, 0, 0});
      const Words out = program.Run({33, 0, 0}, m.inputs(33))[m.last];
      if (first.empty()) first = out;
      CheckSameBits(first, out, fmt::format("{} threads", n_threads));
    }
  }
}

TEST(Plan, LevelsDoNotChangeBits) {
  for (uint32_t seed = 40; seed < 60; ++seed) {
    const RandomModel m(seed, true);
    RunEverywhere(m.model, {5, 0, 0}, m.inputs(5));
  }
}

TEST(Plan, PlansOfOneContextShareScratchInTurns) {
  const RandomModel small(3, false), large(4, false);
  const Context c("", 2);
  Program a(c, small.model, {4, 0, 0});
  const Words first = a.Run({4, 0, 0}, small.inputs(4))[small.last];
  Program b(c, large.model, {300, 0, 0});  // makes the context's scratch grow
  const Words other = b.Run({300, 0, 0}, large.inputs(300))[large.last];
  CheckSameBits(first, a.Run({4, 0, 0}, small.inputs(4))[small.last], "the first plan");
  CheckSameBits(other, b.Run({300, 0, 0}, large.inputs(300))[large.last], "the second plan");
}

TEST(Plan, ContextsRunBesideEachOther) {
  const RandomModel m(5, false);
  const Context c("", 2), d("", 2);
  Program a(c, m.model, {20, 0, 0}), b(d, m.model, {20, 0, 0});
  const Words want = a.Run({20, 0, 0}, m.inputs(20))[m.last];
  std::vector<Words> got[2];
  const auto work = [&](Program& p, std::vector<Words>& out) {
    for (int i = 0; i < 20; ++i) out.push_back(p.Run({20, 0, 0}, m.inputs(20))[m.last]);
  };
  std::thread other([&] { work(b, got[1]); });
  work(a, got[0]);
  other.join();
  for (const auto& outs : got) {
    for (const Words& out : outs) CheckSameBits(want, out, "in parallel");
  }
}

TEST(Plan, RefusesRunsThatCannotBe) {
  Model m;
  const mnw_id x = m.Input({4, kTokens, 1, 1}), y = m.Input({4, kTokens, 1, 1}),
               sum = m.Emit(MNW_OP_add, {x, y}), out = m.Emit(MNW_OP_neg, {sum});
  m.Output(out);
  m.Finish();
  const Context c;
  Program program(c, m, {2, 0, 0});
  float data[3][8] = {};
  std::string message;
  const mnw_binding all[] = {{x, 0, data[0]}, {y, 0, data[1]}, {out, 0, data[2]}};
  const std::string name = m.graph().value(y).name;
  LONGS_EQUAL(MNW_OK, program.TryRun({2, 0, 0}, all, &message));
  // Bindings of the run before do not count.
  const mnw_binding no_y[] = {all[0], all[2]};
  LONGS_EQUAL(MNW_INVALID, program.TryRun({2, 0, 0}, no_y, &message));
  STRCMP_CONTAINS(name.c_str(), message.c_str());
  const mnw_binding no_out[] = {all[0], all[1]};
  LONGS_EQUAL(MNW_INVALID, program.TryRun({2, 0, 0}, no_out, &message));
  STRCMP_CONTAINS("out0", message.c_str());
  for (const mnw_id wrong : {sum, mnw_id{1000}}) {
    const mnw_binding bad[] = {all[0], all[1], all[2], {wrong, 0, data[0]}};
    LONGS_EQUAL(MNW_INVALID, program.TryRun({2, 0, 0}, bad, &message));
    STRCMP_CONTAINS(std::to_string(wrong).c_str(), message.c_str());
  }
  LONGS_EQUAL(MNW_OUT_OF_RANGE, program.TryRun({3, 0, 0}, all, &message));
  LONGS_EQUAL(MNW_OUT_OF_RANGE, program.TryRun({-1, 0, 0}, all, &message));
  LONGS_EQUAL(MNW_OUT_OF_RANGE, program.TryRun({1, 1, 0}, all, &message));
  LONGS_EQUAL(MNW_OK, program.TryRun({1, 0, 0}, all, &message));
}

TEST(Plan, RefusesOptionsItDoesNotKnow) {
  const auto open = [](uint32_t device, uint32_t n_threads, const char* config,
                       std::string* message) {
    const mnw_context_options options = {sizeof options, n_threads, config};
    mnw_context* c = nullptr;
    mnw_error e{};
    const int code = Backend().open(device, &Host(), &options, &c, &e);
    if (code == MNW_OK) Backend().close(c);
    *message = e.message;
    return code;
  };
  std::string message;
  LONGS_EQUAL(MNW_OK, open(0, 0, nullptr, &message));
  LONGS_EQUAL(MNW_OK, open(0, 2, "isa=ref", &message));
  LONGS_EQUAL(MNW_INVALID, open(0, 1, "color=red", &message));
  STRCMP_CONTAINS("color=red", message.c_str());
  LONGS_EQUAL(MNW_UNSUPPORTED, open(0, 1, "isa=abacus", &message));
  STRCMP_CONTAINS("abacus", message.c_str());
  LONGS_EQUAL(MNW_INVALID, open(0, 1000000, nullptr, &message));
  STRCMP_CONTAINS("1000000", message.c_str());
  LONGS_EQUAL(MNW_NOT_FOUND, open(1, 1, nullptr, &message));
}

TEST(Plan, RefusesScratchThatNoMachineHas) {
  Model m;
  const mnw_id x = m.Input({1 << 20, kTokens, 1, 1});
  m.Output(m.Emit(MNW_OP_neg, {m.Emit(MNW_OP_neg, {x})}));
  m.Finish();
  const Context c;
  std::vector<void*> handles(m.graph().values().size());
  mnw_plan_request request = {sizeof request, m.graph().view(), handles.data(),
                              nullptr,        nullptr,          {int64_t{1} << 30}};
  mnw_plan* plan = nullptr;
  mnw_error e{};
  LONGS_EQUAL(MNW_OUT_OF_MEMORY, Backend().plan(c.get(), &request, &plan, &e));
  CHECK_TRUE(e.bytes_needed == uint64_t{1} << 52);
}
