// IQ2_S: groups of 8 by a codebook of 1024, a 4-bit scale per 16.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (s_j + 1/2) / 4 * point, signed, j = i / 16. The number of group g's point is qs[g] with two
// more bits, 2 * (g % 4).. of qh[g / 4]; signs[g] are its signs; s_j is nibble j (low first) of
// scales.
struct Block {
  uint16_t d;
  uint8_t qs[32];
  uint8_t signs[32];
  uint8_t qh[8];
  uint8_t scales[8];
};

void Decode(const Block& block, float* x) {
  for (int g = 0; g < 32; ++g) {
    const int s = block.scales[g / 4] >> (g / 2 % 2 * 4) & 15;
    const float scale = F16ToF32(block.d) * (0.5f + s) * 0.25f;
    const int point = block.qs[g] | (block.qh[g / 4] >> (g % 4 * 2) & 3) << 8;
    PutSigned(kCodebookIQ2_S[point], block.signs[g], scale, x + 8 * g);
  }
}

}  // namespace

const Codec kCodec_IQ2_S = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
