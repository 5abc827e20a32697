// Q5_1: 32 five-bit codes under one scale, above one minimum.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * q_i + m; the codes lie as in Q5_0.
struct Block {
  uint16_t d;
  uint16_t m;
  uint8_t qh[4];
  uint8_t qs[16];
};

void Decode(const Block& block, float* x) {
  const float d = F16ToF32(block.d), m = F16ToF32(block.m);
  const auto fifth = [&](int i) { return (block.qh[i / 8] >> (i % 8) & 1) << 4; };
  for (int i = 0; i < 16; ++i) {
    x[i] = d * ((block.qs[i] & 15) | fifth(i)) + m;
    x[i + 16] = d * ((block.qs[i] >> 4) | fifth(i + 16)) + m;
  }
}

}  // namespace

const Codec kCodec_Q5_1 = BlockDecoder<Block, 32, Decode>();

}  // namespace minnow::quant
