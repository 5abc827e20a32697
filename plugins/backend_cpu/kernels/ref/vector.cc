// The readable level: 16 lanes as plain loops. Its bits are those of every other level.
#include "kernels/vector.h"

#include <math.h>

#include "minnow/sdk/half.h"

namespace minnow::cpu::ref {
namespace {

struct V {
  float lane[16];

  template <class F>
  static V Map(F f) {
    V r;
    for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
    return r;
  }
  static V Load(const float* p) {
    return Map([=](int i) { return p[i]; });
  }
  static V LoadPartial(const float* p, int64_t n) {
    return Map([=](int i) { return i < n ? p[i] : 0.0f; });
  }
  static V Set(float x) {
    return Map([=](int) { return x; });
  }
  static V Add(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  static V Sub(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  static V Mul(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  static V Div(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  static V Fma(const V& a, const V& b, const V& c) {
    return Map([&](int i) { return fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  static V Max(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static V Min(const V& a, const V& b) {
    return Map([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  static V SelectGt(const V& a, const V& b, const V& x, const V& y) {
    return Map([&](int i) { return a.lane[i] > b.lane[i] ? x.lane[i] : y.lane[i]; });
  }
  static V Sqrt(const V& a) {
    return Map([&](int i) { return sqrtf(a.lane[i]); });
  }
  static V Round(const V& a) {
    return Map([&](int i) { return nearbyintf(a.lane[i]); });
  }
  static V Pow2(const V& n) {
    return Map([&](int i) {
      return n.lane[i] == n.lane[i] ? ldexpf(1.0f, static_cast<int>(n.lane[i])) : n.lane[i];
    });
  }
  static V FromInt8(const int8_t* p) {
    return Map([=](int i) { return static_cast<float>(p[i]); });
  }
  static V FromHalf(const uint16_t* p) {
    return Map([=](int i) { return F16ToF32(p[i]); });
  }
  void Store(float* p) const {
    for (int i = 0; i < 16; ++i) p[i] = lane[i];
  }
  void StorePartial(float* p, int64_t n) const {
    for (int i = 0; i < n; ++i) p[i] = lane[i];
  }
  float SumLanes() const {
    V v = *this;
    for (int w = 8; w > 0; w /= 2) {
      for (int i = 0; i < w; ++i) v.lane[i] += v.lane[i + w];
    }
    return v.lane[0];
  }
  float MaxLanes() const {
    V v = *this;
    for (int w = 8; w > 0; w /= 2) {
      for (int i = 0; i < w; ++i) v.lane[i] = v.lane[i] > v.lane[i + w] ? v.lane[i] : v.lane[i + w];
    }
    return v.lane[0];
  }
};

#include "kernels/vector_impl.h"

}  // namespace

const VectorKernels& Vector() { return kVector; }

}  // namespace minnow::cpu::ref
