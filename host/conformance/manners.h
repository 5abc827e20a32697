// What a plugin must not change of the process it is in. Threads: one at a time.
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <string>

#include "base/status.h"

namespace minnow::conformance {

struct Manners {
  std::array<struct sigaction, 32> signals{};
  int rounding = 0;
  std::string locale, directory;
  mode_t mask = 0;

  static Manners Now();
  // What was changed since `before`; also whether subnormal numbers are flushed.
  Status Compare(const Manners& before) const;
};

}  // namespace minnow::conformance
