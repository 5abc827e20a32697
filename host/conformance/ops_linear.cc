// Everything that multiplies by a matrix, for every tensor type that the host can write.
#include <algorithm>
#include <minnow/sdk/graph_view.hpp>

#include "conformance/recipe.h"
#include "quant/quant.h"

namespace minnow::conformance {

namespace {

constexpr mnw_linear_params kNoSite = {MNW_NONE};

struct Type {
  std::string name;
  mnw_type type;
  int64_t block;
  Bound bound;  // of one linear
};

// Quantized: nearly all of it is the eight bits to which a backend may round its activations. F16
// and BF16: those to which it may round them before it multiplies.
Bound BoundOf(mnw_type type, int64_t block) {
  if (block > 1) return Nmse(5e-4);
  return type == MNW_TYPE_F32 ? Nmse(1e-9) : Nmse(1e-5);
}

// Those that quant can write.
std::vector<Type> Types() {
  std::vector<Type> types;
  const auto add = [&](std::string name, mnw_type type, int64_t elements, size_t n_bytes) {
    const std::vector<float> zeros(static_cast<size_t>(elements));
    Bytes bytes(n_bytes);
    if (type == MNW_TYPE_I32 || !quant::FromF32(type, zeros, bytes).ok()) return;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    types.push_back({std::move(name), type, elements, BoundOf(type, elements)});
  };
#define MNW_TYPE(name, id, elements, bytes) add(#name, MNW_TYPE_##name, elements, bytes);
#include <minnow/abi/types.def>
#undef MNW_TYPE
  return types;
}

Bound Times(const Bound& b, double n) { return Nmse(b.nmse * n); }

struct Size {
  int64_t n, k, rows;
};

void AddPlain(Recipes& recipes, const Type& type) {
  const int64_t b = std::max<int64_t>(type.block, 1), k = b == 1 ? 131 : b == 32 ? 96 : 256;
  for (const Size& size : {Size{1, b == 1 ? 1 : b, 1}, Size{35, k, 1}, Size{35, k, 7},
                           Size{64, 2 * k, 40}, Size{33, k, 129}}) {
    recipes.push_back({fmt::format("linear/{}/{}x{}/{}", type.name, size.n, size.k, size.rows),
                       {size.rows},
                       type.bound,
                       Unit::kRow,
                       [=](Sketch& s) {
                         const auto x = s.Input({size.k, kTokens, 1, 1});
                         const auto w = s.Weight(type.type, {size.k, size.n, 1, 1});
                         s.Output(s.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
                       },
                       nullptr});
  }
  recipes.push_back({fmt::format("linear/{}/bias", type.name),
                     {9},
                     type.bound,
                     Unit::kRow,
                     [=](Sketch& s) {
                       const auto x = s.Input({k, kTokens, 1, 1}),
                                  w = s.Weight(type.type, {k, 35, 1, 1}),
                                  bias = s.Weight(MNW_TYPE_F32, {35, 1, 1, 1}, 5);
                       s.Output(s.Emit(MNW_OP_linear, {x, w, bias}, kNoSite)[0]);
                     },
                     nullptr});
  recipes.push_back(
      {fmt::format("linear/{}/strided", type.name),
       {9},
       type.bound,
       Unit::kRow,
       [=](Sketch& s) {
         const auto wide = s.Input({k + 8, kTokens, 1, 1}), w = s.Weight(type.type, {k, 35, 1, 1});
         const auto x = s.View(wide, {k, kTokens, 1, 1}, {4, 4 * (k + 8), 4, 4}, 20);
         s.Output(s.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
       },
       nullptr});
  recipes.push_back(
      {fmt::format("get_rows/{}", type.name),
       {9},
       type.block > 1 ? Close(1e-6, 1e-6) : Bits(),
       Unit::kRow,
       [=](Sketch& s) {
         const std::vector<int32_t> ids = {3, 0, 12, 12, 5, 12, 1, 0, 7};
         const auto table = s.Weight(type.type, {2 * k, 13, 1, 1});
         s.Output(s.Emit(MNW_OP_get_rows, {table, s.StepInput(MNW_INPUT_TOKENS, ids)}));
       },
       nullptr});
}

void AddFused(Recipes& recipes, const Type& type) {
  const int64_t k = type.block == 256 ? 256 : 64;
  recipes.push_back(
      {fmt::format("qkv/{}", type.name),
       {9},
       type.bound,
       Unit::kRow,
       [=](Sketch& s) {
         const auto x = s.Input({k, kTokens, 1, 1});
         const auto q = s.Weight(type.type, {k, 64, 1, 1}),
                    key = s.Weight(type.type, {k, 16, 1, 1}),
                    v = s.Weight(type.type, {k, 31, 1, 1}),
                    bias = s.Weight(MNW_TYPE_F32, {16, 1, 1, 1});
         const Outs outs = s.Emit(MNW_OP_qkv, {x, q, key, v, MNW_NONE, bias, MNW_NONE}, kNoSite);
         for (size_t i = 0; i < 3; ++i) s.Output(outs[i]);
       },
       nullptr});
  recipes.push_back(
      {fmt::format("lm_head/{}", type.name),
       {0, 0, 6},
       Times(type.bound, 2),
       Unit::kRow,
       [=](Sketch& s) {
         const auto x = s.Input({k, kOut, 1, 1}), w = s.Weight(type.type, {k, 101, 1, 1}, 0.2f);
         s.Output(s.Emit(MNW_OP_lm_head, {x, w}, mnw_lm_head_params{0.5f, 3, MNW_NONE})[0]);
       },
       nullptr});
  // Three linears one after another, an activation between.
  const auto glu = [=](uint32_t act, bool joint) {
    return [=](Sketch& s) {
      const auto x = s.Input({k, kTokens, 1, 1});
      const auto gate = s.Weight(type.type, {k, joint ? 512 : 256, 1, 1}, 0.2f);
      const auto up = joint ? MNW_NONE : s.Weight(type.type, {k, 256, 1, 1}, 0.2f);
      const auto down = s.Weight(type.type, {256, 45, 1, 1}, 0.2f);
      s.Output(s.Emit(MNW_OP_glu_ffn, {x, gate, up, down}, mnw_glu_params{act, MNW_NONE})[0]);
    };
  };
  const char* acts[] = {"silu", "gelu", "gelu_erf", "relu"};
  for (const uint32_t act : {0u, 1u, 2u, 3u}) {
    recipes.push_back({fmt::format("glu_ffn/{}/{}", type.name, acts[act]),
                       {9},
                       Times(type.bound, 4),
                       Unit::kRow,
                       glu(act, false),
                       nullptr});
  }
  recipes.push_back({fmt::format("glu_ffn/{}/joint", type.name),
                     {9},
                     Times(type.bound, 4),
                     Unit::kRow,
                     glu(MNW_ACT_SILU, true),
                     nullptr});
}

// Row t prefers experts t, t+1, t+2 .. by a wide margin, so that rounding cannot change the choice.
mnw_id RouterInput(Sketch& s, int64_t k, int64_t n_experts) {
  std::vector<float> x = s.random().Normals(k * s.tokens(), 0.5f);
  for (int64_t t = 0; t < s.tokens(); ++t) {
    for (int64_t e = 0; e < n_experts; ++e) {
      x[static_cast<size_t>(t * k + (t + e) % n_experts)] = 4 - static_cast<float>(e) / 2;
    }
  }
  return s.InputOf({k, kTokens, 1, 1}, x);
}

mnw_id Router(Sketch& s, int64_t k, int64_t n_experts) {
  std::vector<float> w(static_cast<size_t>(k * n_experts));
  for (int64_t e = 0; e < n_experts; ++e) w[static_cast<size_t>(e * k + e)] = 1;
  return s.WeightOf(MNW_TYPE_F32, {k, n_experts, 1, 1}, w);
}

void AddExperts(Recipes& recipes, const Type& type) {
  const int64_t k = type.block == 256 ? 256 : 64, n_experts = 4;
  const auto matrix = [=](Sketch& s, int64_t from, int64_t to) {
    return s.Weight(type.type, {from, to, n_experts, 1}, 0.2f);
  };
  for (const int64_t shared : {0, 1}) {
    recipes.push_back(
        {fmt::format("linear_id/{}/{}", type.name, shared ? "shared-row" : "own-rows"),
         {6},
         type.bound,
         Unit::kRow,
         [=](Sketch& s) {
           const auto x = s.Input({k, shared ? 1 : 2, kTokens, 1});
           std::vector<int32_t> ids;
           for (int64_t i = 0; i < 2 * s.tokens(); ++i) ids.push_back(s.random().Below(n_experts));
           const auto which = s.InputOf({2, kTokens, 1, 1}, ids);
           s.Output(s.Emit(MNW_OP_linear_id, {x, matrix(s, k, 35), which}));
         },
         nullptr});
  }
  for (const uint32_t renormalize : {0u, 1u}) {
    recipes.push_back(
        {fmt::format("moe_ffn/{}/{}", type.name, renormalize ? "renormalized" : "plain"),
         {6},
         Times(type.bound, 4),
         Unit::kRow,
         [=](Sketch& s) {
           const auto x = RouterInput(s, k, n_experts), router = Router(s, k, n_experts);
           const auto gate = matrix(s, k, 256), up = matrix(s, k, 256), down = matrix(s, 256, 45);
           const mnw_moe_params p = {MNW_ACT_SILU, 2, renormalize, 1.5f};
           s.Output(s.Emit(MNW_OP_moe_ffn, {x, router, gate, up, down}, p)[0]);
         },
         nullptr});
  }
}

}  // namespace

void AddLinear(Recipes& recipes) {
  for (const Type& type : Types()) {
    AddPlain(recipes, type);
    AddFused(recipes, type);
    AddExperts(recipes, type);
  }
  recipes.push_back(
      {"linear/three-dims",
       {6},
       Nmse(5e-4),
       Unit::kRow,
       [](Sketch& s) {
         const auto x = s.Input({64, 3, kTokens, 1}), w = s.Weight(MNW_TYPE_Q8_0, {64, 20, 1, 1});
         s.Output(s.Emit(MNW_OP_linear, {x, w}, kNoSite)[0]);
       },
       nullptr});
  recipes.push_back(
      {"get_rows/activations",
       {9, 0, 4},
       Bits(),
       Unit::kNone,
       [](Sketch& s) {
         const std::vector<int32_t> rows = {8, 0, 3, 3};
         const auto x = s.Input({37, kTokens, 1, 1});
         s.Output(s.Emit(MNW_OP_get_rows, {x, s.StepInput(MNW_INPUT_OUT_ROWS, rows)}));
       },
       nullptr});
  // One table twice: as a list of rows and, tied, as the matrix of the head.
  recipes.push_back({"lm_head/tied",
                     {0, 0, 5},
                     Nmse(1e-3),
                     Unit::kRow,
                     [](Sketch& s) {
                       const std::vector<int32_t> ids = {3, 0, 12, 12, 5};
                       const auto table = s.Weight(MNW_TYPE_Q8_0, {64, 99, 1, 1});
                       const auto which = s.StepInput(MNW_INPUT_OUT_ROWS, ids);
                       const auto x = s.Emit(MNW_OP_get_rows, {table, which});
                       s.Output(s.Emit(MNW_OP_lm_head, {x, table}, mnw_lm_head_params{1, 0, MNW_NONE})[0]);
                     },
                     nullptr});
}

}  // namespace minnow::conformance
