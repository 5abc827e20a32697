// Ops on elements: one operand, and two with broadcasting.
#include <cmath>
#include <limits>

#include "conformance/recipe.h"

namespace minnow::conformance {

namespace {

constexpr int64_t kRows = 5;
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Unary {
  mnw_op op;
  const char* name;
  Bound bound;
  std::function<mnw_id(Sketch&, mnw_id x)> emit;
  bool positive = false;
};

std::vector<Unary> Unaries() {
  const auto plain = [](mnw_op op) {
    return [op](Sketch& s, mnw_id x) { return s.Emit(op, {x}); };
  };
  const auto with = [](mnw_op op, auto params) {
    return [=](Sketch& s, mnw_id x) { return s.Emit(op, {x}, params)[0]; };
  };
  const Bound smooth = Close(2e-6, 1e-5), rounded = Close(0, 3e-7);
  return {
      {MNW_OP_scale, "scale", Close(3e-7, 3e-7), with(MNW_OP_scale, mnw_scale_params{0.75f, -2})},
      {MNW_OP_softcap, "softcap", smooth, with(MNW_OP_softcap, mnw_softcap_params{1.5f})},
      {MNW_OP_clamp, "clamp", Bits(), with(MNW_OP_clamp, mnw_clamp_params{-1, 0.5f})},
      {MNW_OP_silu, "silu", smooth, plain(MNW_OP_silu)},
      {MNW_OP_gelu, "gelu", smooth, plain(MNW_OP_gelu)},
      {MNW_OP_gelu_erf, "gelu_erf", smooth, plain(MNW_OP_gelu_erf)},
      {MNW_OP_relu, "relu", Bits(), plain(MNW_OP_relu)},
      {MNW_OP_sigmoid, "sigmoid", smooth, plain(MNW_OP_sigmoid)},
      {MNW_OP_tanh, "tanh", smooth, plain(MNW_OP_tanh)},
      {MNW_OP_exp, "exp", Close(0, 1e-5), plain(MNW_OP_exp)},
      {MNW_OP_softplus, "softplus", smooth, plain(MNW_OP_softplus)},
      {MNW_OP_neg, "neg", Bits(), plain(MNW_OP_neg)},
      {MNW_OP_sqr, "sqr", rounded, plain(MNW_OP_sqr)},
      {MNW_OP_sqrt, "sqrt", rounded, plain(MNW_OP_sqrt), true},
  };
}

std::vector<float> Values(Sketch& s, int64_t n, bool positive) {
  std::vector<float> v = s.random().Normals(n, 3);
  if (positive) {
    for (float& f : v) f = std::fabs(f);
  }
  return v;
}

void AddUnary(Recipes& recipes, const Unary& u) {
  const std::string name = u.name;
  for (const int64_t k : {1, 17, 96, 259}) {
    recipes.push_back(
        {fmt::format("{}/{}x{}", name, kRows, k),
         {kRows},
         u.bound,
         Unit::kRow,
         [u, k](Sketch& s) {
           const auto x = s.InputOf({k, kTokens, 1, 1}, Values(s, k * kRows, u.positive));
           s.Output(u.emit(s, x));
         },
         nullptr});
  }
  // Rows of 21 within rows of 32, and the middle of three parts of each row as heads.
  recipes.push_back(
      {name + "/strided",
       {kRows},
       u.bound,
       Unit::kRow,
       [u](Sketch& s) {
         const auto x = s.InputOf({32, kTokens, 1, 1}, Values(s, 32 * kRows, u.positive));
         s.Output(u.emit(s, s.View(x, {21, kTokens, 1, 1}, {4, 128, 4, 4}, 20)));
       },
       nullptr});
  recipes.push_back(
      {name + "/heads",
       {kRows},
       u.bound,
       Unit::kRow,
       [u](Sketch& s) {
         const auto x = s.InputOf({144, kTokens, 1, 1}, Values(s, 144 * kRows, u.positive));
         s.Output(u.emit(s, s.View(x, {16, 3, kTokens, 1}, {4, 64, 576, 4}, 192)));
       },
       nullptr});
}

void AddSpecial(Recipes& recipes, const char* name, mnw_op op) {
  // In the body of a row of any vector width, and in its tail.
  recipes.push_back({fmt::format("{}/special", name),
                     {1},
                     Close(1e-37, 1e-5),
                     Unit::kNone,
                     [op](Sketch& s) {
                       std::vector<float> x(90, 0.5f);
                       const float odd[] = {kNan, kInf, -kInf, 0.0f, -0.0f, 100, -100, 1e-30f};
                       for (size_t at : {size_t{3}, size_t{37}, size_t{82}}) {
                         std::copy(std::begin(odd), std::end(odd),
                                   x.begin() + static_cast<int>(at));
                       }
                       s.Output(s.Emit(op, {s.InputOf({90, kTokens, 1, 1}, x)}));
                     },
                     nullptr});
}

void AddBinary(Recipes& recipes, const char* name, mnw_op op) {
  const Bound bound = Close(1e-7, 3e-7);
  struct Shape {
    const char* name;
    Dims dims;
  };
  const int64_t k = 37;
  const Shape shapes[] = {{"same", {k, kTokens, 1, 1}},
                          {"row", {k, 1, 1, 1}},
                          {"column", {1, kTokens, 1, 1}},
                          {"scalar", {1, 1, 1, 1}}};
  const auto divisors = [](Sketch& s, const Dims& dims) {
    int64_t n = 1;
    for (int64_t dim : dims) n *= dim < 0 ? s.tokens() : dim;
    std::vector<float> v(static_cast<size_t>(n));
    for (float& f : v) f = s.random().Uniform(0.5f, 2);
    return s.InputOf(dims, v);
  };
  for (const Shape& shape : shapes) {
    recipes.push_back({fmt::format("{}/{}", name, shape.name),
                       {kRows},
                       bound,
                       Unit::kRow,
                       [=](Sketch& s) {
                         const auto a = s.Input({k, kTokens, 1, 1});
                         s.Output(s.Emit(op, {a, divisors(s, shape.dims)}));
                       },
                       nullptr});
  }
  recipes.push_back({fmt::format("{}/weight", name),
                     {kRows},
                     bound,
                     Unit::kRow,
                     [=](Sketch& s) {
                       const auto a = s.Input({k, kTokens, 1, 1});
                       std::vector<float> w(static_cast<size_t>(k));
                       for (float& f : w) f = s.random().Uniform(0.5f, 2);
                       s.Output(s.Emit(op, {a, s.WeightOf(MNW_TYPE_F32, {k, 1, 1, 1}, w)}));
                     },
                     nullptr});
  recipes.push_back({fmt::format("{}/four-dims", name),
                     {kRows},
                     bound,
                     Unit::kRow,
                     [=](Sketch& s) {
                       const auto a = s.Input({9, 3, 2, kTokens});
                       s.Output(s.Emit(op, {a, divisors(s, {1, 3, 1, kTokens})}));
                     },
                     nullptr});
  recipes.push_back({fmt::format("{}/views", name),
                     {kRows},
                     bound,
                     Unit::kRow,
                     [=](Sketch& s) {
                       const auto both = divisors(s, {64, kTokens, 1, 1});
                       const Dims dims = {31, kTokens, 1, 1};
                       const auto a = s.View(both, dims, {4, 256, 4, 4}),
                                  b = s.View(both, dims, {4, 256, 4, 4}, 132);
                       s.Output(s.Emit(op, {a, b}));
                     },
                     nullptr});
}

}  // namespace

void AddElementwise(Recipes& recipes) {
  for (const Unary& u : Unaries()) AddUnary(recipes, u);
  AddSpecial(recipes, "exp", MNW_OP_exp);
  AddSpecial(recipes, "tanh", MNW_OP_tanh);
  AddSpecial(recipes, "sigmoid", MNW_OP_sigmoid);
  AddSpecial(recipes, "softplus", MNW_OP_softplus);
  AddBinary(recipes, "add", MNW_OP_add);
  AddBinary(recipes, "sub", MNW_OP_sub);
  AddBinary(recipes, "mul", MNW_OP_mul);
  AddBinary(recipes, "div", MNW_OP_div);
}

}  // namespace minnow::conformance
