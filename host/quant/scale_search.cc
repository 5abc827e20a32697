#include "quant/scale_search.h"

#include <minnow/sdk/half.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "quant/round.h"

namespace minnow::quant {
namespace {

constexpr int kMaxSubBlock = 32;
constexpr float kNone = std::numeric_limits<float>::infinity();

// To nearest even, after clamping, so that no value is out of the integer's range. Adding 1.5 * 2^23
// leaves the integer in the low bits; lrintf is a library call that takes most of the encoder's time.
int RoundClamped(float v, int low, int high) {
  const float clamped = std::clamp(v, static_cast<float>(low), static_cast<float>(high));
  return std::bit_cast<int32_t>(clamped + 0x1.8p23f) - std::bit_cast<int32_t>(0x1.8p23f);
}

// The weighted least-squares scale and min for given codes.
Affine SolveAffine(const float* x, const float* w, int n, const uint8_t* q) {
  double sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0;
  for (int i = 0; i < n; ++i) {
    sw += w[i];
    sq += w[i] * q[i];
    sqq += w[i] * q[i] * q[i];
    sx += w[i] * x[i];
    sqx += w[i] * q[i] * x[i];
  }
  const double determinant = sw * sqq - sq * sq;
  if (determinant > 0) {
    const double scale = (sw * sqx - sq * sx) / determinant;
    const double min = (sq * sqx - sqq * sx) / determinant;
    if (scale > 0 && min >= 0) return {static_cast<float>(scale), static_cast<float>(min)};
  }
  // A minimum above zero cannot be stored: the best line through zero instead.
  return {sqq > 0 ? std::max(0.0f, static_cast<float>(sqx / sqq)) : 0.0f, 0.0f};
}

}  // namespace

bool WeightByMagnitude(const float* x, int n, float* w) {
  constexpr float kLargest = 1e9f;
  if (std::fabs(Extreme(x, n)) > kLargest) return false;
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const float rms = static_cast<float>(std::sqrt(sum / n));
  for (int i = 0; i < n; ++i) w[i] = std::fabs(x[i]) + rms;
  return true;
}

uint16_t F16Outwards(float v) {
  const uint16_t h = F32ToF16(v);
  return std::fabs(F16ToF32(h)) < std::fabs(v) ? h + 1 : h;
}

float EncodeAffine(const float* x, const float* w, int n, Affine fit, int q_max, uint8_t* q) {
  const float inverse = Inverse(fit.scale);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    q[i] = static_cast<uint8_t>(RoundClamped((x[i] + fit.min) * inverse, 0, q_max));
    const float e = fit.scale * q[i] - fit.min - x[i];
    error += w[i] * e * e;
  }
  return error;
}

float EncodeSymmetric(const float* x, const float* w, int n, float scale, int q_half, int8_t* q) {
  const float inverse = Inverse(scale);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    q[i] = static_cast<int8_t>(RoundClamped(x[i] * inverse, -q_half, q_half - 1));
    const float e = scale * q[i] - x[i];
    error += w[i] * e * e;
  }
  return error;
}

// Starts from the range of the values cut by up to a step or two, since giving up a little of an
// outlier often pays, and refines each start by least squares and coding in turn.
Affine FitAffine(const float* x, const float* w, int n, int q_max) {
  const float low = std::min(0.0f, *std::min_element(x, x + n));
  const float high = *std::max_element(x, x + n);
  if (high <= low) return {0.0f, -low};
  uint8_t q[kMaxSubBlock];
  Affine best{};
  float best_error = kNone;
  for (const float cut : {-0.5f, 0.0f, 0.5f, 1.0f, 1.5f}) {
    Affine fit{(high - low) / (q_max + cut), -low};
    for (int pass = 0; pass < 3; ++pass) {
      const float error = EncodeAffine(x, w, n, fit, q_max, q);
      if (error < best_error) {
        best_error = error;
        best = fit;
      }
      fit = SolveAffine(x, w, n, q);
    }
  }
  return best;
}

float FitSymmetric(const float* x, const float* w, int n, int q_half) {
  const float extreme = Extreme(x, n);
  if (extreme == 0) return 0;
  int8_t q[kMaxSubBlock];
  float best = 0;
  float best_error = kNone;
  for (const float cut : {-1.0f, -0.5f, 0.0f, 0.5f, 1.0f, 1.5f}) {
    float scale = extreme / -(q_half + cut);
    for (int pass = 0; pass < 2; ++pass) {
      const float error = EncodeSymmetric(x, w, n, scale, q_half, q);
      if (error < best_error) {
        best_error = error;
        best = scale;
      }
      double sqq = 0, sqx = 0;
      for (int i = 0; i < n; ++i) {
        sqq += w[i] * q[i] * q[i];
        sqx += w[i] * q[i] * x[i];
      }
      if (sqq > 0) scale = static_cast<float>(sqx / sqq);
    }
  }
  return best;
}

}  // namespace minnow::quant
