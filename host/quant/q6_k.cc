// Q6_K: 256 six-bit codes, signed 8-bit scales per 16. Layout and meaning: minnow/sdk/blocks.h.
#include <minnow/sdk/blocks.h>
#include <minnow/sdk/half.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/codec.h"
#include "quant/scale_search.h"

namespace minnow::quant {
namespace {

// Where element i keeps its low four and its upper two bits.
constexpr int LowByteOf(int i) { return i / 128 * 64 + i % 64; }
constexpr int LowShiftOf(int i) { return i / 64 % 2 * 4; }
constexpr int HighByteOf(int i) { return i / 128 * 32 + i % 32; }
constexpr int HighShiftOf(int i) { return i / 32 % 4 * 2; }

void Decode(const BlockQ6_K& block, float* x) {
  for (int j = 0; j < 16; ++j) {
    const float scale = F16ToF32(block.d) * block.scales[j];
    for (int i = 16 * j; i < 16 * (j + 1); ++i) {
      const int low = block.ql[LowByteOf(i)] >> LowShiftOf(i) & 15;
      const int high = block.qh[HighByteOf(i)] >> HighShiftOf(i) & 3;
      x[i] = scale * ((low | high << 4) - 32);
    }
  }
}

// The 8-bit scale near the free fit that codes this sub-block best.
int8_t ChooseScale(const float* x, const float* w, float fit, float d, int8_t* q) {
  const int nearest = d == 0 ? 0 : static_cast<int>(std::lrintf(fit / d));
  int best = 0;
  float best_error = std::numeric_limits<float>::infinity();
  for (int scale = std::max(-128, nearest - 1); scale <= std::min(127, nearest + 1); ++scale) {
    const float error = EncodeSymmetric(x, w, 16, d * scale, 32, q);
    if (error < best_error) {
      best_error = error;
      best = scale;
    }
  }
  EncodeSymmetric(x, w, 16, d * best, 32, q);
  return static_cast<int8_t>(best);
}

bool Encode(const float* x, BlockQ6_K* block) {
  float w[256];
  if (!WeightByMagnitude(x, 256, w)) return false;
  float fit[16];
  float extreme = 0;
  for (int j = 0; j < 16; ++j) {
    fit[j] = FitSymmetric(x + 16 * j, w + 16 * j, 16, 32);
    if (std::fabs(fit[j]) > std::fabs(extreme)) extreme = fit[j];
  }
  *block = {};
  block->d = F16Outwards(extreme / -128);
  const float d = F16ToF32(block->d);
  if (!std::isfinite(d)) return false;
  for (int j = 0; j < 16; ++j) {
    int8_t q[16];
    block->scales[j] = ChooseScale(x + 16 * j, w + 16 * j, fit[j], d, q);
    for (int k = 0; k < 16; ++k) {
      const int i = 16 * j + k;
      const int code = q[k] + 32;
      block->ql[LowByteOf(i)] |= static_cast<uint8_t>((code & 15) << LowShiftOf(i));
      block->qh[HighByteOf(i)] |= static_cast<uint8_t>(code >> 4 << HighShiftOf(i));
    }
  }
  return true;
}

}  // namespace

const Codec kCodec_Q6_K = BlockCodec<BlockQ6_K, 256, Decode, Encode>();

}  // namespace minnow::quant
