// IQ2_XXS: groups of 8 by a codebook of 256, a 4-bit scale per 32.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (s_j + 1/2) / 4 * point, signed, j = i / 32. The four bytes of points[j] are the numbers of
// its groups' points; signs[j] holds seven signs for each of them, and s_j in bits 28..31.
struct Block {
  uint16_t d;
  struct {
    uint8_t points[4];
    uint8_t signs[4];
  } sub[8];
};

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 8; ++j) {
    uint32_t signs;
    std::memcpy(&signs, block.sub[j].signs, sizeof signs);
    const float scale = F16ToF32(block.d) * (0.5f + (signs >> 28)) * 0.25f;
    for (int g = 0; g < 4; ++g) {
      PutSigned(kCodebookIQ2_XXS[block.sub[j].points[g]], EvenSigns(signs >> (7 * g) & 127), scale,
                x + 32 * j + 8 * g);
    }
  }
}

}  // namespace

const Codec kCodec_IQ2_XXS = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
