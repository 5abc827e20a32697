// Q4_K, Q5_K and Q6_K on AVX2.
//
// y[t,n] = sum_k x[t,k] * W[n,k].   x: int8 with a scale per 32.   W: [N,K], K % 256 == 0, packed
// by pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref. Source:
// GGUF specification.
#include "kernels/avx2/linear_formats.h"
#include "kernels/avx2/linear_impl.h"

namespace minnow::cpu::avx2 {
namespace {

MINNOW_INLINE __m256i LoadUint8x8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
MINNOW_INLINE __m256i LoadInt8x8(const int8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

template <class G, class P, int kAdd>
struct ScaledWithMinPanel : Panel<P> {
  using Gguf = G;
  using Panel<P>::Panel;
  static constexpr int kOffset = 0;
  static constexpr bool kMins = true;
  static constexpr int kHalves = 1;
  static constexpr int kAdds = kAdd;
  static constexpr bool kWiden = true;

  // Both products are exact: 11 bits times 6.
  MINNOW_INLINE Scales Load(int64_t b, int h) const {
    const P& p = this->group[b / 8];
    Scales s = {};
    s.d = _mm256_mul_ps(LoadHalf8(p.d + 8 * h),
                        _mm256_cvtepi32_ps(LoadUint8x8(p.scale[b % 8] + 8 * h)));
    s.min = _mm256_mul_ps(LoadHalf8(p.dmin + 8 * h),
                          _mm256_cvtepi32_ps(LoadUint8x8(p.min[b % 8] + 8 * h)));
    return s;
  }
};

struct Q4_K : ScaledWithMinPanel<BlockQ4_K, pack::Q4_KGroup, 8> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE __m256i Line(int64_t b, int g, int h) const {
    return NibbleLine(Block(b).line, g, h);
  }
};

struct Q5_K : ScaledWithMinPanel<BlockQ5_K, pack::Q5_KGroup, 4> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE __m256i Line(int64_t b, int g, int h) const { return FiveBitLine(Block(b), g, h); }
};

struct Q6_K : Panel<pack::Q6_KGroup> {
  using Gguf = BlockQ6_K;
  using Panel::Panel;
  static constexpr int kOffset = 32;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 2;
  static constexpr int kAdds = 2;
  static constexpr bool kWiden = true;

  MINNOW_INLINE __m256i Line(int64_t b, int g, int h) const {
    const __m256i bits = LoadLine(Block(b).high[g / 4], h);
    const int shift = 4 - 2 * (g % 4);
    const __m256i high =
        shift >= 0 ? _mm256_slli_epi16(bits, shift) : _mm256_srli_epi16(bits, -shift);
    return JoinHigh(NibbleLine(Block(b).line, g, h), high, 0x30);
  }
  MINNOW_INLINE Scales Load(int64_t b, int h) const {
    Scales s = {};
    s.d = LoadHalf8(group[b / 8].d + 8 * h);
    s.half[0] = LoadInt8x8(group[b / 8].scale[b % 8][0] + 8 * h);
    s.half[1] = LoadInt8x8(group[b / 8].scale[b % 8][1] + 8 * h);
    return s;
  }
};

}  // namespace

void MultiplyQ4_K(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q4_K>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyQ5_K(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q5_K>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyQ6_K(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q6_K>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

}  // namespace minnow::cpu::avx2
