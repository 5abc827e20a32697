// IQ3_S: groups of 4 by a codebook of 512, a 4-bit scale per 32.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (2 * s_j + 1) * point, signed, j = i / 32. The number of the point of group g (of 4) is qs[g]
// with one more bit, g % 8 of qh[g / 8]; the sign of element i is bit i % 8 of signs[i / 8]; s_j is
// nibble j (low first) of scales.
struct Block {
  uint16_t d;
  uint8_t qs[64];
  uint8_t qh[8];
  uint8_t signs[32];
  uint8_t scales[4];
};

void Decode(const Block& block, float* x) {
  for (int g = 0; g < 64; ++g) {
    const int s = block.scales[g / 16] >> (g / 8 % 2 * 4) & 15;
    const float scale = F16ToF32(block.d) * (2 * s + 1);
    const int point = block.qs[g] | (block.qh[g / 8] >> (g % 8) & 1) << 8;
    PutSigned(kCodebookIQ3_S[point], block.signs[g / 2] >> (g % 2 * 4), scale, x + 4 * g);
  }
}

}  // namespace

const Codec kCodec_IQ3_S = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
