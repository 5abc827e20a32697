// IQ4_XS: 256 nibbles that pick one of sixteen uneven values, a signed 6-bit scale per 32.
#include <minnow/sdk/half.h>

#include "quant/codec.h"
#include "quant/sixteen_values.h"

namespace minnow::quant {
namespace {

// d * (s_j - 32) * value[q_i], j = i / 32. Each 32 elements have 16 bytes, as in IQ4_NL. The low
// four bits of s_j are nibble j (low first) of scales_low, the upper two are bits 2 * j of
// scales_high.
struct Block {
  uint16_t d;
  uint16_t scales_high;
  uint8_t scales_low[4];
  uint8_t qs[128];
};

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 8; ++j) {
    const int low = block.scales_low[j / 2] >> (j % 2 * 4) & 15;
    const int high = block.scales_high >> (2 * j) & 3;
    const float scale = F16ToF32(block.d) * ((low | high << 4) - 32);
    PutNibbles(kIQ4Values, block.qs + 16 * j, 16, scale, x + 32 * j);
  }
}

}  // namespace

const Codec kCodec_IQ4_XS = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
