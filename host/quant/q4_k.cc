// Q4_K: 256 nibbles, 6-bit scales and minima per 32. Layout and meaning: minnow/sdk/blocks.h.
#include <minnow/sdk/blocks.h>
#include <minnow/sdk/half.h>

#include "quant/affine_k.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

// Byte and shift of the nibble of element i.
constexpr int ByteOf(int i) { return i / 64 * 32 + i % 32; }
constexpr int ShiftOf(int i) { return i / 32 % 2 * 4; }

void Decode(const BlockQ4_K& block, float* x) {
  const SubScales sub = UnpackSubScales(block.scales);
  for (int j = 0; j < 8; ++j) {
    const float scale = F16ToF32(block.d) * sub.scale[j];
    const float min = F16ToF32(block.dmin) * sub.min[j];
    for (int i = 32 * j; i < 32 * (j + 1); ++i) {
      x[i] = scale * (block.qs[ByteOf(i)] >> ShiftOf(i) & 15) - min;
    }
  }
}

bool Encode(const float* x, BlockQ4_K* block) {
  AffineBlock found;
  if (!EncodeAffineBlock(x, 15, &found)) return false;
  *block = {.d = found.d, .dmin = found.dmin, .scales = {}, .qs = {}};
  std::memcpy(block->scales, found.scales, sizeof block->scales);
  for (int i = 0; i < 256; ++i) {
    block->qs[ByteOf(i)] |= static_cast<uint8_t>(found.q[i] << ShiftOf(i));
  }
  return true;
}

}  // namespace

const Codec kCodec_Q4_K = BlockCodec<BlockQ4_K, 256, Decode, Encode>();

}  // namespace minnow::quant
