// 16 lanes in one 512-bit register.
#include "kernels/vector.h"

#include <immintrin.h>
#include <math.h>

namespace minnow::cpu::avx512vnni {
namespace {

struct V {
  __m512 v;

  static __mmask16 Mask(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }
  static V Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static V LoadPartial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(Mask(n), p)}; }
  static V Set(float x) { return {_mm512_set1_ps(x)}; }
  static V Add(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
  static V Sub(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
  static V Mul(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
  static V Div(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
  static V Fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
  static V Max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
  static V Min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
  static V SelectGt(V a, V b, V x, V y) {
    return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), y.v, x.v)};
  }
  static V Sqrt(V a) { return {_mm512_sqrt_ps(a.v)}; }
  static V Round(V a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT)}; }
  static V Pow2(V n) {
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
  }
  static V FromInt8(const int8_t* p) {
    return {_mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
  }
  static V FromHalf(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }
  void Store(float* p) const { _mm512_storeu_ps(p, v); }
  void StorePartial(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, Mask(n), v); }
  float SumLanes() const {
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
  }
  float MaxLanes() const {  // by hand, since zeros and NaN need the order of the tree
    const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
  }
};

#include "kernels/vector_impl.h"

}  // namespace

const VectorKernels& Vector() { return kVector; }

}  // namespace minnow::cpu::avx512vnni
