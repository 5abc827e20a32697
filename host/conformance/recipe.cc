#include "conformance/recipe.h"

#include <algorithm>
#include <cstring>
#include <minnow/sdk/graph_view.hpp>
#include <numeric>
#include <set>

namespace minnow::conformance {

namespace {

using List = std::vector<int32_t>;

List Iota(int64_t n) {
  List list(static_cast<size_t>(n));
  std::iota(list.begin(), list.end(), 0);
  return list;
}

List Ints(const Bytes& bytes) {
  List list(bytes.size() / sizeof(int32_t));
  if (!list.empty()) std::memcpy(list.data(), bytes.data(), bytes.size());
  return list;
}

// The symbol of the outermost dim, or -1.
int SymbolOf(const mnw_value& v) {
  for (int64_t dim : v.dim) {
    if (dim < 0) return static_cast<int>(MNW_DIM_SYMBOL(dim));
  }
  return -1;
}

// Parts `list` of what lies along the outermost dim.
Bytes Pick(const Bytes& bytes, int64_t n, const List& list) {
  const size_t size = n ? bytes.size() / static_cast<size_t>(n) : 0;
  Bytes picked;
  for (int32_t i : list) {
    const auto first = bytes.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(i) * size);
    picked.insert(picked.end(), first, first + static_cast<ptrdiff_t>(size));
  }
  return picked;
}

// A step of these rows and sequences of the sketch's step, in this order.
void AddStep(Telling& t, const Sketch& sketch, const List& rows, const List& seqs,
             const List& seq_of_row) {
  const Symbols& whole = sketch.symbols();
  Step step;
  Telling::Keys keys;
  for (int s = 0; s < MNW_N_SYMBOLS; ++s) {
    if (whole[static_cast<size_t>(s)] == 0) continue;
    keys[static_cast<size_t>(s)] = s == MNW_SYM_N_SEQS ? seqs : rows;
    step.symbols[static_cast<size_t>(s)] =
        static_cast<int64_t>(keys[static_cast<size_t>(s)].size());
  }
  for (const auto& [id, bytes] : sketch.inputs()) {
    const mnw_value& v = sketch.graph().value(id);
    const int symbol = SymbolOf(v);
    if (v.kind == MNW_KIND_INPUT && v.role == MNW_INPUT_SEQ) {
      step.inputs[id] = ToBytes(seq_of_row);
    } else if (symbol < 0) {
      step.inputs[id] = bytes;
    } else {
      const auto s = static_cast<size_t>(symbol);
      step.inputs[id] = Pick(bytes, whole[s], keys[s]);
    }
  }
  t.steps.push_back(std::move(step));
  t.keys.push_back(std::move(keys));
}

Telling Rows(const Sketch& sketch, std::string name, const List& rows) {
  Telling t{.name = std::move(name), .steps = {}, .keys = {}};
  AddStep(t, sketch, rows, Iota(sketch.symbols()[MNW_SYM_N_SEQS]), List(rows.size(), 0));
  return t;
}

std::vector<Telling> TellRows(const Sketch& sketch) {
  const int64_t n = *std::max_element(sketch.symbols().begin(), sketch.symbols().end());
  const auto last = static_cast<int32_t>(n - 1);
  std::vector<Telling> tellings;
  for (int32_t row : {0, last / 2, last}) {
    tellings.push_back(Rows(sketch, fmt::format("row {} alone", row), {row}));
  }
  List among(64);
  for (size_t i = 0; i < among.size(); ++i) {
    among[i] = static_cast<int32_t>((static_cast<int64_t>(i) * 7 + 3) % n);
  }
  tellings.push_back(Rows(sketch, "among 64 rows", among));
  Telling chunks{.name = "in chunks of 1, 2, 4 .. rows", .steps = {}, .keys = {}};
  for (int64_t at = 0, size = 1; at < n; at += size, size *= 2) {
    List rows = Iota(std::min(size, n - at));
    for (int32_t& row : rows) row += static_cast<int32_t>(at);
    AddStep(chunks, sketch, rows, {}, List(rows.size(), 0));
  }
  tellings.push_back(std::move(chunks));
  return tellings;
}

std::vector<Telling> TellSequences(const Sketch& sketch) {
  List seq_of;
  for (const auto& [id, bytes] : sketch.inputs()) {
    if (sketch.graph().value(id).role == MNW_INPUT_SEQ) seq_of = Ints(bytes);
  }
  // The rows of these sequences, sequence by sequence.
  const auto told = [&](std::string name, const List& seqs) {
    Telling t{.name = std::move(name), .steps = {}, .keys = {}};
    List rows, numbers;
    for (size_t i = 0; i < seqs.size(); ++i) {
      for (size_t r = 0; r < seq_of.size(); ++r) {
        if (seq_of[r] != seqs[i]) continue;
        rows.push_back(static_cast<int32_t>(r));
        numbers.push_back(static_cast<int32_t>(i));
      }
    }
    AddStep(t, sketch, rows, seqs, numbers);
    return t;
  };
  const int64_t n = sketch.symbols()[MNW_SYM_N_SEQS];
  std::vector<Telling> tellings;
  for (int32_t s : Iota(n)) tellings.push_back(told(fmt::format("sequence {} alone", s), {s}));
  List turned = Iota(n);
  std::reverse(turned.begin(), turned.end());
  tellings.push_back(told("in the opposite order", turned));
  List many;
  for (int32_t i = 0; i < 16; ++i) many.push_back(static_cast<int32_t>((i * 3 + 1) % n));
  tellings.push_back(told("among 16 sequences", many));
  return tellings;
}

}  // namespace

Symbols Largest(const Telling& telling) {
  Symbols largest{};
  for (const Step& step : telling.steps) {
    for (size_t i = 0; i < largest.size(); ++i) {
      largest[i] = std::max(largest[i], step.symbols[i]);
    }
  }
  return largest;
}

std::vector<Telling> Tell(const Recipe& recipe, const Sketch& sketch, uint64_t seed) {
  std::vector<Telling> tellings;
  if (recipe.tell) {
    tellings = recipe.tell(sketch, seed);
  } else {
    Telling whole{.name = "at once", .steps = {}, .keys = {}};
    Telling::Keys keys;
    for (size_t s = 0; s < keys.size(); ++s) keys[s] = Iota(sketch.symbols()[s]);
    whole.steps.push_back({sketch.symbols(), sketch.inputs(), {}, {}});
    whole.keys.push_back(keys);
    tellings.push_back(std::move(whole));
    const bool rows = recipe.unit == Unit::kRow, sequences = recipe.unit == Unit::kSequence;
    std::vector<Telling> more;
    if (rows) more = TellRows(sketch);
    if (sequences) more = TellSequences(sketch);
    for (Telling& t : more) tellings.push_back(std::move(t));
  }
  Telling wide = tellings.front();
  wide.name = "in a plan for larger steps";
  wide.wide = true;
  tellings.push_back(std::move(wide));
  return tellings;
}

Recipes AllRecipes() {
  Recipes recipes;
  AddElementwise(recipes);
  AddRowOps(recipes);
  AddLinear(recipes);
  AddAdapters(recipes);
  AddSequence(recipes);
  AddAttention(recipes);
  AddRecurrent(recipes);
  return recipes;
}

Recipes FirstOfEachOp() {
  Recipes firsts;
  std::set<std::string> seen;
  for (Recipe& recipe : AllRecipes()) {
    if (seen.insert(recipe.op()).second) firsts.push_back(std::move(recipe));
  }
  return firsts;
}

}  // namespace minnow::conformance
