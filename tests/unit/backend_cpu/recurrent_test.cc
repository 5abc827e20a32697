// conv_step and scan against recurrences in double precision, continued over several steps, with
// sequences that come and go.
#include <CppUTest/TestHarness.h>

#include <cmath>
#include <map>

#include "harness.h"

using namespace minnow;
using namespace minnow::cpu::test;

namespace {

// The rows of each step: (sequence, how many). Sequence s has block s + 1 of the state.
using Plan = std::vector<std::vector<std::pair<int32_t, int64_t>>>;
const Plan kSteps = {
    {{0, 5}}, {{1, 1}, {0, 1}, {2, 3}}, {{2, 1}, {1, 7}}, {{0, 1}, {1, 1}, {2, 1}}};

std::vector<int32_t> Slots(const std::vector<std::pair<int32_t, int64_t>>& step) {
  std::vector<int32_t> slots;
  for (const auto& [s, n] : step) slots.insert(slots.end(), static_cast<size_t>(n), s + 1);
  return slots;
}

struct Run {
  std::string level;
  uint32_t n_threads;
};
std::vector<Run> Runs() {
  std::vector<Run> runs;
  for (const std::string& level : Levels()) {
    for (const uint32_t n : {1u, 3u}) runs.push_back({level, n});
  }
  return runs;
}

}  // namespace

TEST_GROUP(Recurrent){};

TEST(Recurrent, ConvolutionContinuesFromStepToStep) {
  Random random(1);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16}) {
    for (const int64_t width : {2, 4, 5}) {
      const int64_t channels = 37;
      Model m;
      const uint32_t group = m.Group(MNW_STATE_RECURRENT, 4);
      const mnw_id x = m.Input({channels, kTokens, 1, 1}),
                   slots = m.StepInput(MNW_INPUT_SLOTS, group),
                   w = m.RandomWeight(type, {width, channels, 1, 1}, random),
                   bias = m.RandomWeight(type, {channels, 1, 1, 1}, random),
                   state = m.State(0, group, 1, static_cast<uint32_t>(width - 1),
                                   static_cast<uint32_t>(channels));
      m.Output(m.Emit(MNW_OP_conv_step, {x, state, slots, w, bias}));
      m.Finish();
      const std::vector<float> wv = m.values(w), bv = m.values(bias);
      std::vector<std::vector<float>> inputs;
      std::vector<std::vector<double>> want;
      std::map<int32_t, std::vector<float>> past;  // all inputs of a sequence
      for (const auto& step : kSteps) {
        std::vector<float>& in = inputs.emplace_back();
        std::vector<double>& out = want.emplace_back();
        for (const int32_t slot : Slots(step)) {
          std::vector<float>& all = past[slot];
          for (int64_t c = 0; c < channels; ++c) all.push_back(in.emplace_back(random.Normal()));
          const int64_t n = static_cast<int64_t>(all.size()) / channels;
          for (int64_t c = 0; c < channels; ++c) {
            double sum = bv[static_cast<size_t>(c)];
            for (int64_t i = 0; i < width && i < n; ++i) {
              sum += double{wv[static_cast<size_t>(c * width + width - 1 - i)]} *
                     all[static_cast<size_t>((n - 1 - i) * channels + c)];
            }
            out.push_back(sum);
          }
        }
      }
      std::vector<Words> first;
      for (const Run& run : Runs()) {
        const Context c(run.level, run.n_threads);
        State s(c, m);
        s.Edit({0, -1, 2, 0});
        Program program(c, m, {16, 4, 0}, &s);
        for (size_t i = 0; i < kSteps.size(); ++i) {
          const std::vector<int32_t> at = Slots(kSteps[i]);
          const Words out = program.Run({static_cast<int64_t>(at.size()), 4, 0},
                                        {{x, ToWords(inputs[i])}, {slots, ToWords(at)}})[0];
          CheckClose(want[i], ToFloats(out), 2e-6, 0, "conv_step");
          if (first.size() == i) first.push_back(out);
          CheckSameBits(first[i], out, "conv_step on " + run.level);
        }
      }
    }
  }
}

TEST(Recurrent, ScanContinuesFromStepToStep) {
  Random random(2);
  const int64_t heads = 6, dim = 5, groups = 2, n = 9;
  Model m;
  const uint32_t group = m.Group(MNW_STATE_RECURRENT, 4);
  const mnw_id x = m.Input({dim, heads, kTokens, 1}), dt = m.Input({heads, kTokens, 1, 1}),
               b = m.Input({n, groups, kTokens, 1}), c = m.Input({n, groups, kTokens, 1}),
               slots = m.StepInput(MNW_INPUT_SLOTS, group);
  std::vector<float> negative = random.Normals(heads);
  for (float& v : negative) v = -std::fabs(v);
  const mnw_id a = m.Vector(negative), d = m.RandomWeight(MNW_TYPE_F32, {heads, 1, 1, 1}, random),
               state = m.State(0, group, heads, n, dim);
  m.Output(m.Emit(MNW_OP_scan, {x, dt, a, b, c, d, state, slots}));
  m.Finish();
  const std::vector<float> dv = m.values(d);

  struct In {
    std::vector<float> x, dt, b, c;
  };
  std::vector<In> inputs;
  std::vector<std::vector<double>> want;
  std::map<int32_t, std::vector<double>> states;
  for (const auto& step : kSteps) {
    In& in = inputs.emplace_back();
    std::vector<double>& out = want.emplace_back();
    for (const int32_t slot : Slots(step)) {
      const std::vector<float> xr = random.Normals(heads * dim), br = random.Normals(groups * n),
                               cr = random.Normals(groups * n);
      std::vector<double>& s = states[slot];
      s.resize(static_cast<size_t>(heads * dim * n));
      for (int64_t h = 0; h < heads; ++h) {
        const float delta = random.Uniform(0.01f, 1);
        in.dt.push_back(delta);
        const double decay = std::exp(double{delta} * negative[static_cast<size_t>(h)]);
        for (int64_t i = 0; i < dim; ++i) {
          const double xi = xr[static_cast<size_t>(h * dim + i)];
          double y = dv[static_cast<size_t>(h)] * xi;
          for (int64_t j = 0; j < n; ++j) {
            const auto at = static_cast<size_t>(h / (heads / groups) * n + j);
            double& cell = s[static_cast<size_t>((h * dim + i) * n + j)];
            cell = cell * decay + delta * xi * br[at];
            y += cell * cr[at];
          }
          out.push_back(y);
        }
      }
      in.x.insert(in.x.end(), xr.begin(), xr.end());
      in.b.insert(in.b.end(), br.begin(), br.end());
      in.c.insert(in.c.end(), cr.begin(), cr.end());
    }
  }
  std::vector<Words> first;
  for (const Run& run : Runs()) {
    const Context context(run.level, run.n_threads);
    State s(context, m);
    Program program(context, m, {16, 4, 0}, &s);
    for (size_t i = 0; i < kSteps.size(); ++i) {
      const std::vector<int32_t> at = Slots(kSteps[i]);
      const Words out =
          program.Run({static_cast<int64_t>(at.size()), 4, 0}, {{x, ToWords(inputs[i].x)},
                                                                {dt, ToWords(inputs[i].dt)},
                                                                {b, ToWords(inputs[i].b)},
                                                                {c, ToWords(inputs[i].c)},
                                                                {slots, ToWords(at)}})[0];
      CheckClose(want[i], ToFloats(out), 1e-5, 0, "scan");
      if (first.size() == i) first.push_back(out);
      CheckSameBits(first[i], out, "scan on " + run.level);
    }
  }
}

TEST(Recurrent, AnExportedBlockIsTheLastInputsAndContinuesElsewhere) {
  Random random(4);
  Model m;
  const uint32_t group = m.Group(MNW_STATE_RECURRENT, 4);
  const mnw_id x = m.Input({8, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_SLOTS, group),
               w = m.RandomWeight(MNW_TYPE_F32, {4, 8, 1, 1}, random),
               state = m.State(0, group, 1, 3, 8);
  m.Output(m.Emit(MNW_OP_conv_step, {x, state, slots, w}));
  m.Finish();
  const Context c;
  State s(c, m);
  Program program(c, m, {16, 4, 0}, &s);
  const std::vector<float> head = random.Normals(8 * 5), next = random.Normals(8);
  program.Run({5, 1, 0}, {{x, ToWords(head)}, {slots, Words(5, 1)}});
  const std::vector<float> block = s.Export(0, 1);
  UNSIGNED_LONGS_EQUAL(24, block.size());
  for (size_t channel = 0; channel < 8; ++channel) {
    for (size_t i = 0; i < 3; ++i) {
      DOUBLES_EQUAL(head[(2 + i) * 8 + channel], block[channel * 3 + i], 0);
    }
  }
  s.Import(0, 2, block);
  const Inputs a = {{x, ToWords(next)}, {slots, Words(1, 1)}},
               b = {{x, ToWords(next)}, {slots, Words(1, 2)}};
  CheckSameBits(program.Run({1, 1, 0}, a)[0], program.Run({1, 1, 0}, b)[0], "imported block");
}

TEST(Recurrent, ACopiedBlockContinuesAsItsSource) {
  Random random(3);
  Model m;
  const uint32_t group = m.Group(MNW_STATE_RECURRENT, 4);
  const mnw_id x = m.Input({8, kTokens, 1, 1}), slots = m.StepInput(MNW_INPUT_SLOTS, group),
               w = m.RandomWeight(MNW_TYPE_F32, {4, 8, 1, 1}, random),
               state = m.State(0, group, 1, 3, 8);
  m.Output(m.Emit(MNW_OP_conv_step, {x, state, slots, w}));
  m.Finish();
  const Context c;
  State s(c, m);
  Program program(c, m, {16, 4, 0}, &s);
  const std::vector<float> head = random.Normals(8 * 5), next = random.Normals(8);
  program.Run({5, 1, 0}, {{x, ToWords(head)}, {slots, Words(5, 1)}});
  s.Edit({group, 1, 3, 0});
  const Inputs a = {{x, ToWords(next)}, {slots, Words(1, 1)}},
               b = {{x, ToWords(next)}, {slots, Words(1, 3)}};
  CheckSameBits(program.Run({1, 1, 0}, a)[0], program.Run({1, 1, 0}, b)[0], "copied block");
}
