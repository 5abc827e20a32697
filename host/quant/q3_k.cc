// Q3_K: 256 three-bit codes, signed 6-bit scales per 16.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (s_j - 32) * (q_i - 4), j = i / 16. The low two bits of q_i lie as in Q2_K, the third is bit
// i / 32 of high[i % 32]. The low four bits of s_j are the low (j < 8) or high nibble of
// scales[j % 8], the upper two are bits 2 * (j / 4) of scales[8 + j % 4].
struct Block {
  uint8_t high[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 16; ++j) {
    const int low = block.scales[j % 8] >> (j / 8 * 4) & 15;
    const int high = block.scales[8 + j % 4] >> (j / 4 * 2) & 3;
    const float scale = F16ToF32(block.d) * ((low | high << 4) - 32);
    const int at = j % 2 * 16;
    const uint8_t* qs = block.qs + j / 8 * 32 + at;
    const int shift = j % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      const int third = block.high[at + i] >> (j / 2) & 1;
      x[16 * j + i] = scale * ((qs[i] >> shift & 3) + 4 * third - 4);
    }
  }
}

}  // namespace

const Codec kCodec_Q3_K = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
