// Q8_0: 32 signed bytes under one scale. Layout and meaning: minnow/sdk/blocks.h.
#include <minnow/sdk/blocks.h>

#include "quant/codec.h"
#include "quant/round.h"

namespace minnow::quant {
namespace {

void Decode(const BlockQ8_0& block, float* x) {
  const float d = F16ToF32(block.d);
  for (int i = 0; i < 32; ++i) x[i] = d * block.qs[i];
}

// Half away from zero, by the f32 scale rather than by its F16 rounding: the customary bytes.
bool Encode(const float* x, BlockQ8_0* block) {
  const float d = std::fabs(Extreme(x, 32)) / 127;
  const float inverse = Inverse(d);
  block->d = F32ToF16(d);
  for (int i = 0; i < 32; ++i) block->qs[i] = static_cast<int8_t>(std::round(x[i] * inverse));
  return FitsF16(d);
}

}  // namespace

const Codec kCodec_Q8_0 = BlockCodec<BlockQ8_0, 32, Decode, Encode>();

}  // namespace minnow::quant
