// The cases of a plugin of architectures, for each of them:
//
//   arch/ID/builds          from made-up files or a real one, into a graph that hosts can run
//   arch/ID/repeats         the same graph again, in another locale and on other memory
//   arch/ID/keys/missing    each key that it asked for removed: it builds, or names what is wrong
//   arch/ID/keys/mistyped   each of another type: refused by name
//   arch/ID/keys/absurd     0, -1, 2^31, 2^40, long arrays: within time and memory
//   arch/ID/tensors/missing, arch/ID/tensors/shapes   refused by name
//   arch/ID/adapters        sites where they are asked for, and nowhere else
//   arch/ID/host/newer      structs that are longer than the plugin's header
#pragma once

#include <string>
#include <vector>

#include "conformance/cases.h"

namespace minnow::conformance {

std::vector<Case> ArchCases(const std::vector<std::string>& ids);

}  // namespace minnow::conformance
