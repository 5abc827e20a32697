// Control over the memory that this process allocates: the n-th allocation can be made to fail, and
// what is alive can be counted. Only the program minnow-check can offer that (check/allocations.cc
// replaces malloc); without it, the cases that need it do not apply. Threads: any.
#pragma once

#include <cstdint>

namespace minnow::conformance {

struct Allocations {
  // The n-th allocation while enabled fails, and all after it if `sticky`; 0: none.
  void (*arm)(int64_t n, bool sticky);
  void (*enable)(bool on);
  bool (*failed)();   // since arm(): one did
  int64_t (*live)();  // allocations and mappings not given back, counted always
};

}  // namespace minnow::conformance
