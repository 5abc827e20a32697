// The integers of GGUF's quantized blocks as stored, before offset and scale. sdk/blocks.h says
// where each bit lies. Threads: pure.
#pragma once

#include <cstdint>

#include "minnow/sdk/blocks.h"

namespace minnow::cpu {

// Low nibbles of 16 bytes are elements 0..15, high nibbles 16..31.
inline void DecodeQuants(const BlockQ4_0& b, uint8_t* q) {
  for (int i = 0; i < 16; ++i) {
    q[i] = b.qs[i] & 0x0f;
    q[i + 16] = b.qs[i] >> 4;
  }
}

inline void DecodeQuants(const BlockQ5_0& b, uint8_t* q) {
  const uint32_t high = b.qh[0] | b.qh[1] << 8 | b.qh[2] << 16 | uint32_t{b.qh[3]} << 24;
  for (int i = 0; i < 16; ++i) {
    q[i] = static_cast<uint8_t>((b.qs[i] & 0x0f) | (high >> i & 1) << 4);
    q[i + 16] = static_cast<uint8_t>(b.qs[i] >> 4 | (high >> (i + 16) & 1) << 4);
  }
}

// Signed in the file; + 128 here, so that all formats are unsigned with an offset.
inline void DecodeQuants(const BlockQ8_0& b, uint8_t* q) {
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>(b.qs[i] + 128);
}

inline void DecodeQuants(const BlockQ4_K& b, uint8_t* q) {
  for (int i = 0; i < 128; ++i) {
    q[i / 32 * 64 + i % 32] = b.qs[i] & 0x0f;
    q[i / 32 * 64 + i % 32 + 32] = b.qs[i] >> 4;
  }
}

inline void DecodeQuants(const BlockQ5_K& b, uint8_t* q) {
  for (int i = 0; i < 128; ++i) {
    const int pair = i / 32;  // of sub-blocks
    const int l = i % 32;
    q[pair * 64 + l] = static_cast<uint8_t>((b.qs[i] & 0x0f) | (b.qh[l] >> (2 * pair) & 1) << 4);
    q[pair * 64 + l + 32] =
        static_cast<uint8_t>(b.qs[i] >> 4 | (b.qh[l] >> (2 * pair + 1) & 1) << 4);
  }
}

inline void DecodeQuants(const BlockQ6_K& b, uint8_t* q) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* ql = b.ql + 64 * half;
    const uint8_t* qh = b.qh + 32 * half;
    for (int l = 0; l < 32; ++l) {
      uint8_t* out = q + 128 * half + l;
      out[0] = static_cast<uint8_t>((ql[l] & 0x0f) | (qh[l] & 3) << 4);
      out[32] = static_cast<uint8_t>((ql[l + 32] & 0x0f) | (qh[l] >> 2 & 3) << 4);
      out[64] = static_cast<uint8_t>(ql[l] >> 4 | (qh[l] >> 4 & 3) << 4);
      out[96] = static_cast<uint8_t>(ql[l + 32] >> 4 | (qh[l] >> 6) << 4);
    }
  }
}

// The 6-bit scales and minima of Q4_K and Q5_K, one of each per sub-block of 32.
struct SubScales {
  uint8_t scale[8];
  uint8_t min[8];
};

inline SubScales DecodeScales(const uint8_t* packed) {
  SubScales out;
  for (int j = 0; j < 4; ++j) {
    out.scale[j] = packed[j] & 0x3f;
    out.min[j] = packed[j + 4] & 0x3f;
    out.scale[j + 4] = static_cast<uint8_t>((packed[j + 8] & 0x0f) | packed[j] >> 6 << 4);
    out.min[j + 4] = static_cast<uint8_t>(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
  }
  return out;
}

}  // namespace minnow::cpu
