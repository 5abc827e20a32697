// SPDX-License-Identifier: MIT
// The blocks of GGUF's quantized tensor types as they lie in a file, little-endian, without padding.
// `d`, `dmin`: F16 bits. Source: GGUF specification; each comment gives the value of element i.
#pragma once

#include <cstddef>
#include <cstdint>

namespace minnow {

// d * (q_i - 8); q_i is the low nibble of qs[i] for i < 16, the high nibble of qs[i-16] for the rest.
struct BlockQ4_0 {
  uint16_t d;
  uint8_t qs[16];
};

// d * (q_i - 16); the low four bits of q_i lie as in Q4_0, its fifth bit is bit i of qh (little-endian).
struct BlockQ5_0 {
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

// d * qs[i]
struct BlockQ8_0 {
  uint16_t d;
  int8_t qs[32];
};

// Eight sub-blocks j of 32: d * sc_j * q_i - dmin * m_j. The 6-bit sc_j and m_j are packed in `scales`:
// for j < 4 the low six bits of scales[j] and scales[j+4]; for the rest their low four bits are the
// nibbles (low: sc, high: m) of scales[j+4], their upper two bits are bits 6..7 of scales[j-4] and scales[j].
// q_i: nibbles; each 64 elements share 32 bytes, the first 32 in the low, the rest in the high nibbles.
struct BlockQ4_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

// As Q4_K, with a fifth bit: that of element l (0..31) of sub-block j is bit j of qh[l].
struct BlockQ5_K {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// Sixteen sub-blocks of 16: d * scales[i/16] * (q_i - 32). In each half of 128 elements, for l in 0..31:
// elements l, l+32 have their low nibbles in the low nibbles of ql[l], ql[l+32], elements l+64, l+96 in
// the high ones; bits 4..5 of the four are bits 0..1, 2..3, 4..5, 6..7 of qh[l].
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ5_0) == 22 && sizeof(BlockQ8_0) == 34);
static_assert(sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

}  // namespace minnow
