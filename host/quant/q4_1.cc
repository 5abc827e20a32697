// Q4_1: 32 nibbles under one scale, above one minimum.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * q_i + m; the nibbles lie as in Q4_0.
struct Block {
  uint16_t d;
  uint16_t m;
  uint8_t qs[16];
};

void Decode(const Block& block, float* x) {
  const float d = F16ToF32(block.d), m = F16ToF32(block.m);
  for (int i = 0; i < 16; ++i) {
    x[i] = d * (block.qs[i] & 15) + m;
    x[i + 16] = d * (block.qs[i] >> 4) + m;
  }
}

}  // namespace

const Codec kCodec_Q4_1 = BlockDecoder<Block, 32, Decode>();

}  // namespace minnow::quant
