// Q2_K: 256 two-bit codes, 4-bit scales and minima per 16.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (scales[j] & 15) * q_i - dmin * (scales[j] >> 4), j = i / 16. Each half of 128 elements has
// 32 bytes of codes: element i lies in byte i % 32, the four of a byte 32 elements apart.
struct Block {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d;
  uint16_t dmin;
};

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 16; ++j) {
    const float scale = F16ToF32(block.d) * (block.scales[j] & 15);
    const float min = F16ToF32(block.dmin) * (block.scales[j] >> 4);
    const uint8_t* qs = block.qs + j / 8 * 32 + j % 2 * 16;
    const int shift = j % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) x[16 * j + i] = scale * (qs[i] >> shift & 3) - min;
  }
}

}  // namespace

const Codec kCodec_Q2_K = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
