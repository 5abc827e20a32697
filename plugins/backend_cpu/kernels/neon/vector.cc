// 16 lanes in four 128-bit registers.
#include "kernels/vector.h"

#include <arm_neon.h>
#include <math.h>
#include <string.h>

namespace minnow::cpu::neon {
namespace {

struct V {
  float32x4_t part[4];  // lanes 0..3, 4..7, 8..11, 12..15

  template <class F>
  static V Map(F f) {
    return {{f(0), f(1), f(2), f(3)}};
  }
  static V Load(const float* p) {
    return Map([=](int i) { return vld1q_f32(p + 4 * i); });
  }
  static V LoadPartial(const float* p, int64_t n) {
    float lane[16] = {};
    memcpy(lane, p, static_cast<size_t>(n) * sizeof(float));
    return Load(lane);
  }
  static V Set(float x) {
    return Map([=](int) { return vdupq_n_f32(x); });
  }
  static V Add(V x, V y) {
    return Map([&](int i) { return vaddq_f32(x.part[i], y.part[i]); });
  }
  static V Sub(V x, V y) {
    return Map([&](int i) { return vsubq_f32(x.part[i], y.part[i]); });
  }
  static V Mul(V x, V y) {
    return Map([&](int i) { return vmulq_f32(x.part[i], y.part[i]); });
  }
  static V Div(V x, V y) {
    return Map([&](int i) { return vdivq_f32(x.part[i], y.part[i]); });
  }
  static V Fma(V x, V y, V z) {
    return Map([&](int i) { return vfmaq_f32(z.part[i], x.part[i], y.part[i]); });
  }
  // fmax and fmin return NaN for NaN on either side, the contract returns the second operand.
  static float32x4_t Max(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
  static V Max(V x, V y) {
    return Map([&](int i) { return Max(x.part[i], y.part[i]); });
  }
  static V Min(V x, V y) {
    return Map(
        [&](int i) { return vbslq_f32(vcltq_f32(x.part[i], y.part[i]), x.part[i], y.part[i]); });
  }
  static V SelectGt(V p, V q, V x, V y) {
    return Map(
        [&](int i) { return vbslq_f32(vcgtq_f32(p.part[i], q.part[i]), x.part[i], y.part[i]); });
  }
  static V Sqrt(V x) {
    return Map([&](int i) { return vsqrtq_f32(x.part[i]); });
  }
  static V Round(V x) {
    return Map([&](int i) { return vrndnq_f32(x.part[i]); });
  }
  static V Pow2(V n) {
    return Map([&](int i) {
      const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n.part[i]), vdupq_n_s32(127));
      return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
    });
  }
  static V FromInt8(const int8_t* p) {
    return Map([=](int i) {
      int32_t four;
      memcpy(&four, p + 4 * i, sizeof(four));
      const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
      return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
    });
  }
  static V FromHalf(const uint16_t* p) {
    return Map([=](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
  }
  void Store(float* p) const {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, part[i]);
  }
  void StorePartial(float* p, int64_t n) const {
    float lane[16];
    Store(lane);
    memcpy(p, lane, static_cast<size_t>(n) * sizeof(float));
  }
  float SumLanes() const {
    const float32x4_t s = vaddq_f32(vaddq_f32(part[0], part[2]), vaddq_f32(part[1], part[3]));
    const float32x2_t t = vadd_f32(vget_low_f32(s), vget_high_f32(s));
    return vget_lane_f32(t, 0) + vget_lane_f32(t, 1);
  }
  float MaxLanes() const {
    const float32x4_t s = Max(Max(part[0], part[2]), Max(part[1], part[3]));
    const float32x4_t t = Max(s, vextq_f32(s, s, 2));
    return vgetq_lane_f32(Max(t, vextq_f32(t, t, 1)), 0);
  }
};

#include "kernels/vector_impl.h"

}  // namespace

const VectorKernels& Vector() { return kVector; }

}  // namespace minnow::cpu::neon
