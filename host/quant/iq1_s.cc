// IQ1_S: groups of 8 by a codebook, a 3-bit scale and a shift per 32.
#include <minnow/sdk/half.h>

#include "quant/codebooks.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (2 * s_j + 1) * (point + shift_j), j = i / 32. The number of the point of group g (of 8) is
// qs[g] with three more bits, 3 * (g % 4).. of qh[g / 4]; s_j are bits 12..14 of qh[j], bit 15 says
// that the shift is -1/8 rather than 1/8.
struct Block {
  uint16_t d;
  uint8_t qs[32];
  uint16_t qh[8];
};

void Decode(const Block& block, float* x) {
  for (int g = 0; g < 32; ++g) {
    const uint16_t qh = block.qh[g / 4];
    const float scale = F16ToF32(block.d) * (2 * (qh >> 12 & 7) + 1);
    const float shift = qh >> 15 ? -0.125f : 0.125f;
    const auto& point = kCodebookIQ1[block.qs[g] | (qh >> (g % 4 * 3) & 7) << 8];
    for (int i = 0; i < 8; ++i) x[8 * g + i] = scale * (point[i] + shift);
  }
}

}  // namespace

const Codec kCodec_IQ1_S = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
