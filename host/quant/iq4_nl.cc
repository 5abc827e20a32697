// IQ4_NL: 32 nibbles that pick one of sixteen uneven values, under one scale.
#include <minnow/sdk/half.h>

#include "quant/codec.h"
#include "quant/sixteen_values.h"

namespace minnow::quant {
namespace {

// d * value[q_i]; the nibbles lie as in Q4_0.
struct Block {
  uint16_t d;
  uint8_t qs[16];
};

void Decode(const Block& block, float* x) {
  PutNibbles(kIQ4Values, block.qs, 16, F16ToF32(block.d), x);
}

}  // namespace

const Codec kCodec_IQ4_NL = BlockDecoder<Block, 32, Decode>();

}  // namespace minnow::quant
