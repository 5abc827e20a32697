// The table of what is checked: one recipe is one op with its types, shape and views.
//
// A new op is a row here: a recipe in ops_<family>.cc. From each recipe come several cases
// (cases.cc): its values, its repeatability, old and new hosts, lack of memory. Threads: values.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "conformance/compare.h"
#include "conformance/program.h"
#include "conformance/sketch.h"

namespace minnow::conformance {

// What may be computed alone and must then have the same bits.
enum class Unit {
  kNone,
  kRow,       // a row of the step
  kSequence,  // all rows of a sequence
};

// One way to feed a backend. `keys[symbol][i]`, for each step: which row (or sequence) of the
// recipe the i-th one along that symbol is, -1: none to be compared.
struct Telling {
  std::string name;   // "row 3 alone"
  char level = 'A';   // from which declared repeatability on it must agree with the first telling
  bool wide = false;  // in a plan for far larger steps
  std::vector<Step> steps;
  using Keys = std::array<std::vector<int32_t>, MNW_N_SYMBOLS>;
  std::vector<Keys> keys;  // by step
};

struct Recipe {
  std::string name;  // "linear/q4_k/512x35/40": the op comes first
  Symbols symbols{};
  Bound bound;
  Unit unit = Unit::kRow;
  std::function<void(Sketch&)> write;
  // For ops on a state: the same story, told in several ways; the first is the one that is compared
  // with the reference. Empty: one step with the sketch's inputs, and what `unit` allows.
  std::function<std::vector<Telling>(const Sketch&, uint64_t seed)> tell = nullptr;

  std::string op() const { return name.substr(0, name.find('/')); }
};
using Recipes = std::vector<Recipe>;

void AddElementwise(Recipes& recipes);
void AddRowOps(Recipes& recipes);     // norms, reductions, movement, rope
void AddLinear(Recipes& recipes);     // everything that multiplies by a matrix
void AddAdapters(Recipes& recipes);   // the same with adapters
void AddSequence(Recipes& recipes);   // seq_attention, pool
void AddAttention(Recipes& recipes);  // kv_write and attention
void AddRecurrent(Recipes& recipes);
Recipes AllRecipes();
Recipes FirstOfEachOp();

// The tellings of a recipe, the plain one first.
std::vector<Telling> Tell(const Recipe& recipe, const Sketch& sketch, uint64_t seed);

// The largest symbols of a telling's steps.
Symbols Largest(const Telling& telling);

}  // namespace minnow::conformance
