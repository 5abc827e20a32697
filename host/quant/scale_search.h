// The search for scales that the k-quants share. Internal to this folder. Threads: pure functions.
//
// A k-quant stores a scale (and for some types a minimum) per sub-block as a small integer times an
// F16 of the whole block. So encoding has two stages: fit each sub-block freely, then choose the
// integers knowing what the F16s became. All errors are weighted by WeightByMagnitude.
#pragma once

#include <cstdint>

namespace minnow::quant {

// w[i] = |x[i]| + rms(x): large weights move outputs most, and none is worth nothing.
// False beyond the reach of any k-quant, so that squared errors cannot overflow either.
bool WeightByMagnitude(const float* x, int n, float* w);

// The smallest F16, as bits, whose magnitude is at least |v|, with the sign of v. Rounding outwards
// lets the largest integer scale still reach v where F16 is coarse, near its subnormals. May be
// infinite.
uint16_t F16Outwards(float v);

// x[i] ~ scale * q[i] - min, with 0 <= q[i] <= q_max.
struct Affine {
  float scale;  // >= 0
  float min;    // >= 0
};
Affine FitAffine(const float* x, const float* w, int n, int q_max);

// x[i] ~ scale * q[i], with -q_half <= q[i] < q_half.
float FitSymmetric(const float* x, const float* w, int n, int q_half);

// Codes for fixed values of the fit, and their weighted squared error.
float EncodeAffine(const float* x, const float* w, int n, Affine fit, int q_max, uint8_t* q);
float EncodeSymmetric(const float* x, const float* w, int n, float scale, int q_half, int8_t* q);

}  // namespace minnow::quant
