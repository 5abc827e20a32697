// SPDX-License-Identifier: MIT
// F16 (IEEE binary16) and BF16 to and from f32, by bits: the same answer on every machine and under
// every compiler flag. To f32 is exact; from f32 rounds to nearest even, overflows to infinity and
// keeps subnormals. NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

namespace minnow {

constexpr float F16ToF32(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fu;
  const uint32_t mantissa = h & 0x3ffu;
  uint32_t bits;
  if (exponent == 0x1f) {
    bits = 0x7f800000u | (mantissa << 13);
  } else if (exponent == 0) {
    bits = std::bit_cast<uint32_t>(static_cast<float>(mantissa) * 0x1p-24f);  // exact
  } else {
    bits = ((exponent + 112) << 23) | (mantissa << 13);
  }
  return std::bit_cast<float>(sign | bits);
}

constexpr uint16_t F32ToF16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t h;
  if (magnitude > 0x7f800000u) {  // NaN: keep what fits of the payload, but never become infinity
    h = 0x7c00u | ((magnitude >> 13) & 0x3ffu);
    if (h == 0x7c00u) h = 0x7c01u;
  } else if (magnitude >= 0x477ff000u) {  // >= 65520, halfway between the largest F16 and 2^16
    h = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // < 2^-14: one ulp of 0.5f is one F16 subnormal step
    h = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    h = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | h);
}

constexpr float BF16ToF32(uint16_t h) {
  return std::bit_cast<float>(static_cast<uint32_t>(h) << 16);
}

constexpr uint16_t F32ToBF16(float f) {
  const uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace minnow
