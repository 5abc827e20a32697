// The types whose nibble picks one of sixteen values. Internal to this folder. Threads: constant
// data and a pure function.
#pragma once

#include <cstdint>

namespace minnow::quant {

// IQ4_NL and IQ4_XS: denser near zero, where most weights lie.
inline constexpr int8_t kIQ4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

// MXFP4 and NVFP4: twice the values of E2M1.
inline constexpr int8_t kE2M1Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// The low nibbles of n bytes, then the high ones: x[0..2n).
inline void PutNibbles(const int8_t (&values)[16], const uint8_t* bytes, int n, float scale,
                       float* x) {
  for (int i = 0; i < n; ++i) {
    x[i] = scale * values[bytes[i] & 15];
    x[i + n] = scale * values[bytes[i] >> 4];
  }
}

}  // namespace minnow::quant
