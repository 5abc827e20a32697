// Q4_K, Q5_K and Q6_K on AVX-512 VNNI.
//
// y[t,n] = sum_k x[t,k] * W[n,k].   x: int8 with a scale per 32.   W: [N,K], K % 256 == 0, packed
// by pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref. Source:
// GGUF specification.
#include "kernels/avx512vnni/linear_formats.h"
#include "kernels/avx512vnni/linear_impl.h"

namespace minnow::cpu::avx512vnni {
namespace {

MINNOW_INLINE __m512i LoadUint8x16(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}
MINNOW_INLINE __m512i LoadInt8x16(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

template <class G, class P>
struct ScaledWithMinPanel : Panel<P> {
  using Gguf = G;
  using Panel<P>::Panel;
  static constexpr int kOffset = 0;
  static constexpr bool kMins = true;
  static constexpr int kHalves = 1;
  static constexpr bool kWiden = true;

  // Both products are exact: 11 bits times 6.
  MINNOW_INLINE Scales Load(int64_t b) const {
    const P& p = this->group[b / 8];
    Scales s = {};
    s.d = _mm512_mul_ps(LoadHalf16(p.d), _mm512_cvtepi32_ps(LoadUint8x16(p.scale[b % 8])));
    s.min = _mm512_mul_ps(LoadHalf16(p.dmin), _mm512_cvtepi32_ps(LoadUint8x16(p.min[b % 8])));
    return s;
  }
};

struct Q4_K : ScaledWithMinPanel<BlockQ4_K, pack::Q4_KGroup> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  static constexpr int kPrefetchRows = 2;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return NibbleLine(Block(b).line, g); }
};

struct Q5_K : ScaledWithMinPanel<BlockQ5_K, pack::Q5_KGroup> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  static constexpr int kPrefetchRows = 1;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return FiveBitLine(Block(b), g); }
};

struct Q6_K : Panel<pack::Q6_KGroup> {
  using Gguf = BlockQ6_K;
  using Panel::Panel;
  static constexpr int kOffset = 32;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 2;
  static constexpr int kPrefetchRows = 1;
  static constexpr bool kWiden = true;

  MINNOW_INLINE __m512i Line(int64_t b, int g) const {
    const __m512i bits = _mm512_load_si512(Block(b).high[g / 4]);
    const int shift = 4 - 2 * (g % 4);
    const __m512i high =
        shift >= 0 ? _mm512_slli_epi16(bits, shift) : _mm512_srli_epi16(bits, -shift);
    return JoinHigh(NibbleLine(Block(b).line, g), high, 0x30);
  }
  MINNOW_INLINE Scales Load(int64_t b) const {
    Scales s = {};
    s.d = LoadHalf16(group[b / 8].d);
    s.half[0] = LoadInt8x16(group[b / 8].scale[b % 8][0]);
    s.half[1] = LoadInt8x16(group[b / 8].scale[b % 8][1]);
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

}  // namespace minnow::cpu::avx512vnni
