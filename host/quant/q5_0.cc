// Q5_0: 32 five-bit codes under one scale. Layout and meaning: minnow/sdk/blocks.h.
#include <minnow/sdk/blocks.h>

#include <algorithm>

#include "quant/codec.h"
#include "quant/round.h"

namespace minnow::quant {
namespace {

void Decode(const BlockQ5_0& block, float* x) {
  const float d = F16ToF32(block.d);
  const auto fifth = [&](int i) { return (block.qh[i / 8] >> (i % 8) & 1) << 4; };
  for (int i = 0; i < 16; ++i) {
    x[i] = d * (((block.qs[i] & 15) | fifth(i)) - 16);
    x[i + 16] = d * (((block.qs[i] >> 4) | fifth(i + 16)) - 16);
  }
}

// The extreme element becomes -16 exactly, as in Q4_0.
bool Encode(const float* x, BlockQ5_0* block) {
  const float d = Extreme(x, 32) / -16;
  const float inverse = Inverse(d);
  *block = {};
  block->d = F32ToF16(d);
  for (int i = 0; i < 32; ++i) {
    const int code = std::min(31, static_cast<int>(x[i] * inverse + 16.5f));
    block->qs[i % 16] |= static_cast<uint8_t>((code & 15) << (i / 16 * 4));
    block->qh[i / 8] |= static_cast<uint8_t>(code >> 4 << (i % 8));
  }
  return FitsF16(d);
}

}  // namespace

const Codec kCodec_Q5_0 = BlockCodec<BlockQ5_0, 32, Decode, Encode>();

}  // namespace minnow::quant
