// Sums and products of costs, in tokens or bytes, where kUnbounded is none.
#pragma once

#include <algorithm>
#include <cstdint>

#include "constrain/terms.h"

namespace minnow::constrain {

inline uint32_t AddCost(uint32_t a, uint32_t b) {
  const uint64_t sum = uint64_t{a} + b;
  return a == kUnbounded || b == kUnbounded
             ? kUnbounded
             : static_cast<uint32_t>(std::min<uint64_t>(sum, kUnbounded - 1));
}
inline uint32_t TimesCost(uint32_t a, uint32_t n) {
  if (n == 0 || a == 0) return 0;
  if (a == kUnbounded) return kUnbounded;
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} * n, kUnbounded - 1));
}

}  // namespace minnow::constrain
