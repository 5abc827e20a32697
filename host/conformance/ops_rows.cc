// Ops along a row: norms, reductions, movement, rope.
#include <algorithm>

#include "conformance/recipe.h"

namespace minnow::conformance {

namespace {

constexpr int64_t kRows = 5;

// One row-wise op on rows of odd and even lengths, packed and strided.
void AddOnRows(Recipes& recipes, const std::string& name, const Bound& bound,
               std::function<void(Sketch&, mnw_id x, int64_t k)> emit) {
  for (const int64_t k : {16, 33, 320}) {
    recipes.push_back({fmt::format("{}/{}x{}", name, kRows, k),
                       {kRows},
                       bound,
                       Unit::kRow,
                       [=](Sketch& s) {
                         emit(s, s.Input({k, kTokens, 1, 1}, 3), k);
                       },
                       nullptr});
  }
  recipes.push_back({name + "/strided",
                     {kRows},
                     bound,
                     Unit::kRow,
                     [=](Sketch& s) {
                       const auto x = s.Input({48, kTokens, 1, 1}, 3);
                       emit(s, s.View(x, {35, kTokens, 1, 1}, {4, 192, 4, 4}, 28), 35);
                     },
                     nullptr});
}

void AddNorms(Recipes& recipes) {
  const Bound bound = Close(2e-5, 1e-5);
  for (const mnw_type type : {MNW_TYPE_F32, MNW_TYPE_F16}) {
    const char* of = type == MNW_TYPE_F32 ? "f32" : "f16";
    AddOnRows(recipes, fmt::format("rms_norm/{}", of), bound, [=](Sketch& s, mnw_id x, int64_t k) {
      const auto w = s.Weight(type, {k, 1, 1, 1});
      s.Output(s.Emit(MNW_OP_rms_norm, {x, w}, mnw_norm_params{1e-5f, 0, 0})[0]);
    });
    AddOnRows(recipes, fmt::format("layer_norm/{}", of), bound,
              [=](Sketch& s, mnw_id x, int64_t k) {
                const auto w = s.Weight(type, {k, 1, 1, 1}), b = s.Weight(type, {k, 1, 1, 1});
                s.Output(s.Emit(MNW_OP_layer_norm, {x, w, b}, mnw_norm_params{1e-5f, 0, 0})[0]);
              });
  }
  AddOnRows(recipes, "rms_norm/plus-one", bound, [](Sketch& s, mnw_id x, int64_t k) {
    const auto w = s.Weight(MNW_TYPE_F32, {k, 1, 1, 1}, 0.1f);
    s.Output(s.Emit(MNW_OP_rms_norm, {x, w}, mnw_norm_params{1e-6f, 1, 0})[0]);
  });
  AddOnRows(recipes, "rms_norm/bare", bound, [](Sketch& s, mnw_id x, int64_t) {
    s.Output(s.Emit(MNW_OP_rms_norm, {x}, mnw_norm_params{1e-5f, 0, 0})[0]);
  });
  AddOnRows(recipes, "layer_norm/bias-only", bound, [](Sketch& s, mnw_id x, int64_t k) {
    const auto b = s.Weight(MNW_TYPE_F32, {k, 1, 1, 1});
    s.Output(s.Emit(MNW_OP_layer_norm, {x, MNW_NONE, b}, mnw_norm_params{1e-5f, 0, 0})[0]);
  });
  AddOnRows(recipes, "l2_norm", bound, [](Sketch& s, mnw_id x, int64_t) {
    s.Output(s.Emit(MNW_OP_l2_norm, {x}, mnw_norm_params{1e-6f, 0, 0})[0]);
  });
  recipes.push_back(
      {"rms_norm/heads",
       {kRows},
       bound,
       Unit::kRow,
       [](Sketch& s) {
         const auto x = s.Input({144, kTokens, 1, 1}, 3);
         const auto heads = s.View(x, {16, 3, kTokens, 1}, {4, 64, 576, 4}, 192);
         const auto w = s.Weight(MNW_TYPE_F32, {16, 1, 1, 1});
         s.Output(s.Emit(MNW_OP_rms_norm, {heads, w}, mnw_norm_params{1e-5f, 0, 0})[0]);
       },
       nullptr});
  for (const uint32_t layer : {0u, 1u}) {
    AddOnRows(
        recipes, layer ? "add_norm/layer" : "add_norm/rms", bound,
        [=](Sketch& s, mnw_id x, int64_t k) {
          const auto r = s.Input({k, kTokens, 1, 1}), w = s.Weight(MNW_TYPE_F32, {k, 1, 1, 1});
          const auto b = layer ? s.Weight(MNW_TYPE_F32, {k, 1, 1, 1}) : MNW_NONE;
          const Outs outs = s.Emit(MNW_OP_add_norm, {x, r, w, b}, mnw_norm_params{1e-5f, 0, layer});
          s.Output(outs[0]);
          s.Output(outs[1]);
        });
  }
}

void AddReductions(Recipes& recipes) {
  const auto plain = [](mnw_op op) {
    return [op](Sketch& s, mnw_id x, int64_t) { s.Output(s.Emit(op, {x})); };
  };
  AddOnRows(recipes, "softmax", Close(1e-7, 2e-5), plain(MNW_OP_softmax));
  AddOnRows(recipes, "sum_row", Close(1e-4, 1e-5), plain(MNW_OP_sum_row));
  AddOnRows(recipes, "max_row", Bits(), plain(MNW_OP_max_row));
  for (const uint32_t k : {1u, 5u, 16u}) {
    AddOnRows(recipes, fmt::format("top_k/{}", k), Bits(), [=](Sketch& s, mnw_id x, int64_t) {
      const Outs outs = s.Emit(MNW_OP_top_k, {x}, mnw_top_k_params{k});
      s.Output(outs[0]);
      s.Output(outs[1]);
    });
  }
  recipes.push_back({"top_k/ties",
                     {kRows},
                     Bits(),
                     Unit::kRow,
                     [](Sketch& s) {
                       std::vector<float> x(60 * kRows);
                       for (float& f : x) f = static_cast<float>(s.random().Below(4));
                       const Outs outs = s.Emit(MNW_OP_top_k, {s.InputOf({60, kTokens, 1, 1}, x)},
                                                mnw_top_k_params{20});
                       s.Output(outs[0]);
                       s.Output(outs[1]);
                     },
                     nullptr});
}

void AddMovement(Recipes& recipes) {
  struct Type {
    const char* name;
    mnw_type type;
  };
  for (const Type& to :
       {Type{"f32", MNW_TYPE_F32}, Type{"f16", MNW_TYPE_F16}, Type{"bf16", MNW_TYPE_BF16}}) {
    AddOnRows(recipes, fmt::format("copy/{}", to.name), Bits(), [=](Sketch& s, mnw_id x, int64_t) {
      s.Output(s.Emit(MNW_OP_copy, {x}, mnw_copy_params{to.type})[0]);
    });
  }
  recipes.push_back({"copy/i32",
                     {kRows},
                     Bits(),
                     Unit::kRow,
                     [](Sketch& s) {
                       std::vector<int32_t> ids(7 * kRows);
                       for (int32_t& id : ids) id = s.random().Below(1000) - 500;
                       const auto x = s.InputOf({7, kTokens, 1, 1}, ids);
                       s.Output(s.Emit(MNW_OP_copy, {x}, mnw_copy_params{MNW_TYPE_I32})[0]);
                     },
                     nullptr});
  // Rows and columns of each token's matrix change places.
  recipes.push_back({"copy/transposed",
                     {kRows},
                     Bits(),
                     Unit::kRow,
                     [](Sketch& s) {
                       const auto x = s.Input({11, 6, kTokens, 1});
                       const auto turned = s.View(x, {6, 11, kTokens, 1}, {44, 4, 264, 4});
                       s.Output(s.Emit(MNW_OP_copy, {turned}, mnw_copy_params{MNW_TYPE_F32})[0]);
                     },
                     nullptr});
  AddOnRows(recipes, "concat", Bits(), [](Sketch& s, mnw_id x, int64_t) {
    s.Output(s.Emit(MNW_OP_concat, {x, s.Input({7, kTokens, 1, 1})}));
  });
}

struct Rope {
  const char* name;
  mnw_rope_params params;
  bool factors = false;
};

// Angles up to position 1000: single precision is enough to stay within the bound.
void AddRope(Recipes& recipes, const Rope& rope) {
  recipes.push_back({fmt::format("rope/{}", rope.name),
                     {kRows},
                     Close(1e-3, 0),
                     Unit::kRow,
                     [rope](Sketch& s) {
                       const int64_t dim = 40;
                       const auto x = s.Input({dim, 3, kTokens, 1});
                       std::vector<int32_t> at = {0, 1, 7, 300, 1000};
                       const auto positions = s.StepInput(MNW_INPUT_POSITIONS, at);
                       mnw_id factors = MNW_NONE;
                       if (rope.factors) {
                         std::vector<float> f(rope.params.n_dims / 2);
                         for (float& v : f) v = s.random().Uniform(1, 8);
                         factors = s.WeightOf(MNW_TYPE_F32, {rope.params.n_dims / 2, 1, 1, 1}, f);
                       }
                       s.Output(s.Emit(MNW_OP_rope, {x, positions, factors}, rope.params)[0]);
                     },
                     nullptr});
}

void AddRopes(Recipes& recipes) {
  const Rope ropes[] = {
      {"norm", {MNW_ROPE_NORM, MNW_ROPE_PLAIN, 40, 10000, 1, 1, 0, 0, 0}},
      {"neox", {MNW_ROPE_NEOX, MNW_ROPE_PLAIN, 40, 5e5, 1, 1, 0, 0, 0}},
      {"norm-partial", {MNW_ROPE_NORM, MNW_ROPE_PLAIN, 24, 10000, 1, 1, 0, 0, 0}},
      {"neox-partial", {MNW_ROPE_NEOX, MNW_ROPE_PLAIN, 24, 10000, 1, 1, 0, 0, 0}},
      {"linear", {MNW_ROPE_NEOX, MNW_ROPE_LINEAR, 40, 10000, 0.25f, 1, 0, 0, 0}},
      {"yarn", {MNW_ROPE_NEOX, MNW_ROPE_YARN, 40, 10000, 0.25f, 1.1386f, 32, 1, 4096}},
      {"factors", {MNW_ROPE_NEOX, MNW_ROPE_PLAIN, 40, 10000, 1, 1.19f, 0, 0, 0}, true},
  };
  for (const Rope& rope : ropes) AddRope(recipes, rope);
  recipes.push_back({"rope/heads-of-rows",
                     {kRows},
                     Close(1e-3, 0),
                     Unit::kRow,
                     [](Sketch& s) {
                       const auto x = s.Input({96, kTokens, 1, 1});
                       const auto heads = s.View(x, {16, 2, kTokens, 1}, {4, 64, 384, 4}, 128);
                       const std::vector<int32_t> at = {9, 8, 7, 3, 2};
                       const auto positions = s.StepInput(MNW_INPUT_POSITIONS, at);
                       const mnw_rope_params p = {
                           MNW_ROPE_NEOX, MNW_ROPE_PLAIN, 16, 10000, 1, 1, 0, 0, 0};
                       s.Output(s.Emit(MNW_OP_rope, {heads, positions}, p)[0]);
                     },
                     nullptr});
}

}  // namespace

void AddRowOps(Recipes& recipes) {
  AddNorms(recipes);
  AddReductions(recipes);
  AddMovement(recipes);
  AddRopes(recipes);
}

}  // namespace minnow::conformance
