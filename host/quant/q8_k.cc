// Q8_K: 256 signed bytes under one f32 scale. Made for activations; seldom seen in files.
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * qs[i]
struct Block {
  float d;
  int8_t qs[256];
  int16_t sums[16];  // of 16 codes each, for those who multiply
};

void Decode(const Block& block, float* x) {
  for (int i = 0; i < 256; ++i) x[i] = block.d * block.qs[i];
}

}  // namespace

const Codec kCodec_Q8_K = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
