// IQ1_M: groups of 8 by IQ1_S's codebook, a 3-bit scale per 16, a shift per group.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (2 * s_j + 1) * (point + shift_g), j = i / 16. Nibble g (low first) of qh holds three more
// bits of the number of group g's point, and in bit 3 that the shift is -1/8 rather than 1/8. s_j
// are bits 3 * (j % 4).. of scales[j / 4]; the four nibbles of d are bits 12..15 of the four
// scales.
struct Block {
  uint8_t qs[32];
  uint8_t qh[16];
  uint16_t scales[4];
};

void Decode(const Block& block, float* x) {
  uint16_t d = 0;
  for (int i = 0; i < 4; ++i) d |= static_cast<uint16_t>(block.scales[i] >> 12 << (4 * i));
  for (int g = 0; g < 32; ++g) {
    const float scale = F16ToF32(d) * (2 * (block.scales[g / 8] >> (g / 2 % 4 * 3) & 7) + 1);
    const int qh = block.qh[g / 2] >> (g % 2 * 4) & 15;
    const float shift = qh & 8 ? -0.125f : 0.125f;
    const auto& point = kCodebookIQ1[block.qs[g] | (qh & 7) << 8];
    for (int i = 0; i < 8; ++i) x[8 * g + i] = scale * (point[i] + shift);
  }
}

}  // namespace

const Codec kCodec_IQ1_M = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
