// IQ3_XXS: groups of 4 by a codebook of 256, a 4-bit scale per 32.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (s_j + 1/2) / 2 * point, signed, j = i / 32. points[g] is the number of the point of group g
// (of 4); the four bytes of signs[j] hold seven signs for each eight elements, and s_j in bits
// 28..31.
struct Block {
  uint16_t d;
  uint8_t points[64];
  uint8_t signs[8][4];
};

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 8; ++j) {
    uint32_t signs;
    std::memcpy(&signs, block.signs[j], sizeof signs);
    const float scale = F16ToF32(block.d) * (0.5f + (signs >> 28)) * 0.5f;
    for (int g = 0; g < 8; ++g) {
      const uint32_t eight = EvenSigns(signs >> (g / 2 * 7) & 127);
      PutSigned(kCodebookIQ3_XXS[block.points[8 * j + g]], eight >> (g % 2 * 4), scale,
                x + 32 * j + 4 * g);
    }
  }
}

}  // namespace

const Codec kCodec_IQ3_XXS = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
