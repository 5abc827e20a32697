// The roundings that the simple quantizers share. Internal to this folder. Threads: pure functions.
#pragma once

#include <minnow/sdk/half.h>

#include <cmath>

namespace minnow::quant {

// The element of largest magnitude, the first of equals, with its sign.
inline float Extreme(const float* x, int n) {
  float extreme = x[0];
  for (int i = 1; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  return extreme;
}

// 1 / d, and 0 where d is too small to have a finite inverse: such a d is 0 in F16 anyway.
inline float Inverse(float d) {
  const float inverse = 1.0f / d;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

inline bool FitsF16(float d) { return std::isfinite(F16ToF32(F32ToF16(d))); }

}  // namespace minnow::quant
