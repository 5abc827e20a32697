// The codebooks of the IQ types: a code is the number of a point of 8 or 4 values. Internal to this
// folder. Threads: constant data.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace minnow::quant {

template <int kPoints, int kDims>
using Codebook = std::array<std::array<int8_t, kDims>, kPoints>;

extern const Codebook<2048, 8> kCodebookIQ1;  // IQ1_S and IQ1_M
extern const Codebook<256, 8> kCodebookIQ2_XXS;
extern const Codebook<512, 8> kCodebookIQ2_XS;
extern const Codebook<1024, 8> kCodebookIQ2_S;
extern const Codebook<256, 4> kCodebookIQ3_XXS;
extern const Codebook<512, 4> kCodebookIQ3_S;

// The signs of eight values, bit by bit, where only seven are stored: their number is even.
constexpr uint8_t EvenSigns(uint32_t seven) {
  return static_cast<uint8_t>(seven | (std::popcount(seven) & 1) << 7);
}

// x[i] = scale * point[i], negative where bit i of `signs` is set.
template <size_t kDims>
void PutSigned(const std::array<int8_t, kDims>& point, uint32_t signs, float scale, float* x) {
  for (size_t i = 0; i < kDims; ++i) {
    const float magnitude = scale * point[i];
    x[i] = signs >> i & 1 ? -magnitude : magnitude;
  }
}

}  // namespace minnow::quant
