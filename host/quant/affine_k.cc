#include "quant/affine_k.h"

#include <minnow/sdk/half.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/round.h"
#include "quant/scale_search.h"

namespace minnow::quant {
namespace {

constexpr int kMaxScale = 63;

int NearestScale(float value, float unit) {
  if (unit == 0) return 0;
  return static_cast<int>(std::lrintf(std::min(value / unit, static_cast<float>(kMaxScale))));
}

// The 6-bit scale and minimum near the free fit that code this sub-block best: the two roundings
// are not independent, so the neighbours of both are tried together.
void ChooseSubScale(const float* x, const float* w, int q_max, Affine fit, float d, float dmin,
                    int j, SubScales* sub, uint8_t* q) {
  const int scale0 = NearestScale(fit.scale, d);
  const int min0 = NearestScale(fit.min, dmin);
  float best_error = std::numeric_limits<float>::infinity();
  uint8_t codes[32];
  for (int scale = std::max(0, scale0 - 1); scale <= std::min(kMaxScale, scale0 + 1); ++scale) {
    for (int min = std::max(0, min0 - 1); min <= std::min(kMaxScale, min0 + 1); ++min) {
      const float error = EncodeAffine(x, w, 32, {d * scale, dmin * min}, q_max, codes);
      if (error >= best_error) continue;
      best_error = error;
      sub->scale[j] = static_cast<uint8_t>(scale);
      sub->min[j] = static_cast<uint8_t>(min);
      std::copy_n(codes, 32, q);
    }
  }
}

}  // namespace

SubScales UnpackSubScales(const uint8_t packed[12]) {
  SubScales sub;
  for (int j = 0; j < 4; ++j) {
    sub.scale[j] = packed[j] & 63;
    sub.min[j] = packed[j + 4] & 63;
    sub.scale[j + 4] = (packed[j + 8] & 15) | (packed[j] >> 6 << 4);
    sub.min[j + 4] = (packed[j + 8] >> 4) | (packed[j + 4] >> 6 << 4);
  }
  return sub;
}

void PackSubScales(const SubScales& sub, uint8_t packed[12]) {
  for (int j = 0; j < 4; ++j) {
    packed[j] = sub.scale[j] | (sub.scale[j + 4] >> 4 << 6);
    packed[j + 4] = sub.min[j] | (sub.min[j + 4] >> 4 << 6);
    packed[j + 8] = (sub.scale[j + 4] & 15) | ((sub.min[j + 4] & 15) << 4);
  }
}

bool EncodeAffineBlock(const float* x, int q_max, AffineBlock* block) {
  float w[256];
  if (!WeightByMagnitude(x, 256, w)) return false;
  Affine fit[8];
  float max_scale = 0, max_min = 0;
  for (int j = 0; j < 8; ++j) {
    fit[j] = FitAffine(x + 32 * j, w + 32 * j, 32, q_max);
    max_scale = std::max(max_scale, fit[j].scale);
    max_min = std::max(max_min, fit[j].min);
  }
  block->d = F16Outwards(max_scale / kMaxScale);
  block->dmin = F16Outwards(max_min / kMaxScale);
  const float d = F16ToF32(block->d), dmin = F16ToF32(block->dmin);
  if (!std::isfinite(d) || !std::isfinite(dmin)) return false;
  SubScales sub;
  for (int j = 0; j < 8; ++j) {
    ChooseSubScale(x + 32 * j, w + 32 * j, q_max, fit[j], d, dmin, j, &sub, block->q + 32 * j);
  }
  PackSubScales(sub, block->scales);
  return true;
}

}  // namespace minnow::quant
