// Linears with adapters: rows of several slots, of slots that hold nothing for a site, and of none.
#include "conformance/recipe.h"

namespace minnow::conformance {

namespace {

constexpr int64_t kK = 96, kRows = 21;

struct Base {
  const char* name;
  mnw_type type;
  Bound bound;
};
const Base kBases[] = {{"f32", MNW_TYPE_F32, Nmse(1e-9)}, {"q8_0", MNW_TYPE_Q8_0, Nmse(5e-4)}};

// Runs of one slot and of many; slot 3 is empty.
mnw_id Slots(Sketch& s, mnw_input role, int64_t rows) {
  std::vector<int32_t> slots;
  for (int64_t t = 0; t < rows; ++t) {
    slots.push_back(t < 12 ? 1 : static_cast<int32_t>(t * t % 5) - 1);
  }
  return s.StepInput(role, slots);
}

// Deltas of several ranks; slot 2 has none for odd sites.
void Fill(Sketch& s, uint32_t site, int64_t k, int64_t n) {
  s.Delta(0, site, 1, k, n);
  s.Delta(1, site, 16, k, n);
  if (site % 2 == 0) s.Delta(2, site, 19, k, n);
}

void AddBase(Recipes& recipes, const Base& base) {
  const auto add = [&](const char* op, const Symbols& symbols, double linears,
                       std::function<void(Sketch&)> write) {
    recipes.push_back({fmt::format("{}/{}/adapters", op, base.name), symbols,
                       Nmse(base.bound.nmse * linears), Unit::kRow, std::move(write), nullptr});
  };
  const mnw_type type = base.type;
  add("linear", {kRows}, 1, [type](Sketch& s) {
    const auto x = s.Input({kK, kTokens, 1, 1}), slots = Slots(s, MNW_INPUT_ADAPTER, kRows),
               w = s.Weight(type, {kK, 35, 1, 1}), bias = s.Weight(MNW_TYPE_F32, {35, 1, 1, 1}, 5);
    Fill(s, 4, kK, 35);
    s.Output(s.Emit(MNW_OP_linear, {x, w, bias, slots}, mnw_linear_params{4})[0]);
  });
  add("qkv", {kRows}, 1, [type](Sketch& s) {
    const auto x = s.Input({kK, kTokens, 1, 1}), slots = Slots(s, MNW_INPUT_ADAPTER, kRows);
    const int64_t sizes[] = {64, 16, 31};
    mnw_id w[3];
    for (uint32_t i = 0; i < 3; ++i) {
      w[i] = s.Weight(type, {kK, sizes[i], 1, 1});
      Fill(s, i, kK, sizes[i]);
    }
    const Outs outs = s.Emit(MNW_OP_qkv, {x, w[0], w[1], w[2], MNW_NONE, MNW_NONE, MNW_NONE, slots},
                             mnw_linear_params{0});
    for (size_t i = 0; i < 3; ++i) s.Output(outs[i]);
  });
  for (const bool joint : {false, true}) {
    add(joint ? "glu_ffn/joint" : "glu_ffn", {kRows}, 4, [type, joint](Sketch& s) {
      const auto x = s.Input({kK, kTokens, 1, 1}), slots = Slots(s, MNW_INPUT_ADAPTER, kRows),
                 gate = s.Weight(type, {kK, joint ? 256 : 128, 1, 1}, 0.2f),
                 up = joint ? MNW_NONE : s.Weight(type, {kK, 128, 1, 1}, 0.2f),
                 down = s.Weight(type, {128, 45, 1, 1}, 0.2f);
      Fill(s, 7, kK, joint ? 256 : 128);
      if (!joint) Fill(s, 8, kK, 128);
      Fill(s, 9, 128, 45);
      s.Output(s.Emit(MNW_OP_glu_ffn, {x, gate, up, down, slots}, mnw_glu_params{0, 7})[0]);
    });
  }
  add("lm_head", {0, 0, kRows}, 2, [type](Sketch& s) {
    const auto x = s.Input({kK, kOut, 1, 1}), slots = Slots(s, MNW_INPUT_OUT_ADAPTER, kRows),
               w = s.Weight(type, {kK, 101, 1, 1}, 0.2f);
    Fill(s, 0, kK, 101);
    s.Output(s.Emit(MNW_OP_lm_head, {x, w, slots}, mnw_lm_head_params{0.5f, 3, 0})[0]);
  });
}

}  // namespace

void AddAdapters(Recipes& recipes) {
  for (const Base& base : kBases) AddBase(recipes, base);
}

}  // namespace minnow::conformance
