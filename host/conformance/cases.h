// The cases of `minnow check`: what a name such as "op/linear/q4_k/35x256/7" stands for.
//
// From every recipe (recipe.h) come
//   op/      its values against the reference; honesty of the claim; guard words
//   repeat/  the same rows alone, among others, in chunks, in a larger plan, as declared
// and for the first recipe of each op
//   host/newer/ host/older/   structs that are longer or shorter than the backend's header
//   memory/failing/           the n-th allocation fails, n = 1, 2, 3 ..
//   memory/leaks/             what is alive after many rounds
//   parallel/                 two contexts at the same time
//   late/                     nothing is written or called after `done`
// and beside these device/ (what it says and refuses, manners), pages/ (export and import of
// state), model/ (a whole small decoder, together with the reference) and, for plugins of
// architectures, arch/ (arch_cases.h). A case runs in a child process of its own.
#pragma once

#include <minnow/abi/plugin.h>

#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "conformance/subject.h"

namespace minnow::conformance {

// Ok and empty: the case holds. Ok and a text: why it does not apply here. Else what is wrong.
using Verdict = Result<std::string>;

// What a case has at hand, in its child process.
struct Env {
  Subject subject, oracle;               // of backends
  const mnw_arch_list* archs = nullptr;  // of architectures
  std::string arch_file;                 // a model file to show to the one it is for; may be empty
  uint64_t seed = 1;
  const Allocations* allocations = nullptr;
};

struct Case {
  std::string name;
  std::function<Verdict(const Env&)> run;
};

std::vector<Case> BackendCases();

// For BackendCases.
void AddDeviceCases(std::vector<Case>& cases);
void AddRecipeCases(std::vector<Case>& cases);
void AddMemoryCases(std::vector<Case>& cases);
void AddStateCases(std::vector<Case>& cases);
void AddModelCases(std::vector<Case>& cases);

}  // namespace minnow::conformance
