// TQ2_0: 256 values of -1, 0 and 1 under one scale, four to a byte.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (q_i - 1); the two-bit codes lie as in Q2_K.
struct Block {
  uint8_t qs[64];
  uint16_t d;
};

void Decode(const Block& block, float* x) {
  const float d = F16ToF32(block.d);
  for (int i = 0; i < 256; ++i) {
    x[i] = d * ((block.qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) - 1);
  }
}

}  // namespace

const Codec kCodec_TQ2_0 = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
