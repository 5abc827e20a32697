// Tellings of a recipe played on a backend: what the cases have in common. Threads: one at a time.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "conformance/cases.h"
#include "conformance/recipe.h"

namespace minnow::conformance {

// A recipe written out for one seed.
struct Written {
  Sketch sketch;
  std::vector<Telling> tellings;
};
Result<std::unique_ptr<Written>> Write(const Recipe& recipe, uint64_t seed);

// Why the context does not take the sketch; empty if it does.
Result<std::string> Refusal(const Context& context, const Sketch& sketch);

// What a plan for the telling must allow.
Symbols LargestFor(const Telling& telling);

// The outputs of each step, in a program of its own.
Result<std::vector<Outputs>> Play(Context& context, const Sketch& sketch, const Telling& telling,
                                  bool linger = false);

// Each output of each step against the reference's.
Status CompareWith(const Sketch& sketch, const Bound& bound, const std::vector<Outputs>& want,
                   const std::vector<Outputs>& got);

// The rows (or sequences) of an output, by output and key.
using Rows = std::map<std::pair<size_t, int32_t>, Bytes>;

// Compares the rows of a telling with those already known, by bits, and keeps the new ones.
Status Gather(const Env& env, const Sketch& sketch, const Telling& telling,
              const std::vector<Outputs>& outputs, Rows* rows);

// What the reference makes of a telling; a text instead if the reference does not claim it.
struct Reference {
  std::string refusal;
  std::vector<Outputs> outputs;
};
Result<Reference> PlayReference(const Env& env, const Sketch& sketch, const Telling& telling);

}  // namespace minnow::conformance
