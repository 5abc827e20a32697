// IQ2_XS: groups of 8 by a codebook of 512, a 4-bit scale per 16.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (s_j + 1/2) / 4 * point, signed, j = i / 16. qs[g] holds the number of group g's point in
// nine bits and seven signs above them; s_j is nibble j (low first) of scales.
struct Block {
  uint16_t d;
  uint16_t qs[32];
  uint8_t scales[8];
};

void Decode(const Block& block, float* x) {
  for (int g = 0; g < 32; ++g) {
    const int s = block.scales[g / 4] >> (g / 2 % 2 * 4) & 15;
    const float scale = F16ToF32(block.d) * (0.5f + s) * 0.25f;
    PutSigned(kCodebookIQ2_XS[block.qs[g] & 511], EvenSigns(block.qs[g] >> 9), scale, x + 8 * g);
  }
}

}  // namespace

const Codec kCodec_IQ2_XS = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
