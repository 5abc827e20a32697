// MXFP4: 32 values in E2M1 under a power of two. Source: OCP Microscaling Formats 1.0.
#include <bit>

#include "quant/codec.h"
#include "quant/sixteen_values.h"

namespace minnow::quant {
namespace {

// 2^(e - 127) * E2M1(q_i); the nibbles lie as in Q4_0. Readers of GGUF know no NaN: 255 is 2^128.
struct Block {
  uint8_t e;
  uint8_t qs[16];
};

void Decode(const Block& block, float* x) {
  // Half the scale, since the values are doubled: below 2, it is subnormal.
  const uint32_t bits = block.e < 2 ? 0x00200000u << block.e : (block.e - 1u) << 23;
  PutNibbles(kE2M1Values, block.qs, 16, std::bit_cast<float>(bits), x);
}

}  // namespace

const Codec kCodec_MXFP4 = BlockDecoder<Block, 32, Decode>();

}  // namespace minnow::quant
