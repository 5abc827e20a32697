// Q4_0: 32 nibbles under one scale. Layout and meaning: minnow/sdk/blocks.h.
#include <minnow/sdk/blocks.h>

#include <algorithm>

#include "quant/codec.h"
#include "quant/round.h"

namespace minnow::quant {
namespace {

void Decode(const BlockQ4_0& block, float* x) {
  const float d = F16ToF32(block.d);
  for (int i = 0; i < 16; ++i) {
    x[i] = d * ((block.qs[i] & 15) - 8);
    x[i + 16] = d * ((block.qs[i] >> 4) - 8);
  }
}

// The extreme element becomes -8 exactly, so that the one code without a counterpart is put to use.
bool Encode(const float* x, BlockQ4_0* block) {
  const float d = Extreme(x, 32) / -8;
  const float inverse = Inverse(d);
  const auto code = [&](float v) { return std::min(15, static_cast<int>(v * inverse + 8.5f)); };
  block->d = F32ToF16(d);
  for (int i = 0; i < 16; ++i) {
    block->qs[i] = static_cast<uint8_t>(code(x[i]) | code(x[i + 16]) << 4);
  }
  return FitsF16(d);
}

}  // namespace

const Codec kCodec_Q4_0 = BlockCodec<BlockQ4_0, 32, Decode, Encode>();

}  // namespace minnow::quant
