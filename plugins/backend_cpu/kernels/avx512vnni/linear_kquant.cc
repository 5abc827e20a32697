// Q4_K, Q5_K and Q6_K on AVX-512 VNNI.
//
// y[t,n] = sum_k x[t,k] * W[n,k].   x: int8 with a scale per 32.   W: [N,K], K % 256 == 0, packed
// by pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref. Source:
// GGUF specification.
#include "kernels/avx512vnni/linear_formats.h"
#include "kernels/avx512vnni/linear_impl.h"

namespace minnow::cpu::avx512vnni {
namespace {

MINNOW_INLINE __m512 LoadHalf16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}
MINNOW_INLINE __m512i LoadUint8x16(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}
MINNOW_INLINE __m512i LoadInt8x16(const int8_t* p) {
  return _mm512_cvtepi8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
}

template <class G, class Super>
struct ScaledWithMinPanel {
  using Gguf = G;
  static constexpr int kOffset = 0;
  static constexpr bool kMins = true;
  static constexpr int kHalves = 1;
  static constexpr bool kWiden = true;
  const Super* super;

  ScaledWithMinPanel() = default;
  ScaledWithMinPanel(const uint8_t* panel, int64_t)
      : super(reinterpret_cast<const Super*>(panel)) {}
  MINNOW_INLINE const auto& Sub(int64_t b) const { return super[b / 8].sub[b % 8]; }
  // Both products are exact: 11 bits times 6.
  MINNOW_INLINE Scales Load(int64_t b) const {
    const Super& s = super[b / 8];
    Scales out = {};
    out.d = _mm512_mul_ps(LoadHalf16(s.d), _mm512_cvtepi32_ps(LoadUint8x16(s.scale[b % 8])));
    out.min = _mm512_mul_ps(LoadHalf16(s.dmin), _mm512_cvtepi32_ps(LoadUint8x16(s.min[b % 8])));
    return out;
  }
  MINNOW_INLINE void Prefetch(int64_t b) const {
    PrefetchAhead<sizeof(Super) / 8>(reinterpret_cast<const uint8_t*>(super) +
                                     sizeof(Super) / 8 * b);
  }
};

struct Q4_K : ScaledWithMinPanel<BlockQ4_K, pack::Q4KSuper> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return NibbleLine(Sub(b).line, g); }
};

struct Q5_K : ScaledWithMinPanel<BlockQ5_K, pack::Q5KSuper> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return FiveBitLine(Sub(b), g); }
};

struct Q6_K {
  using Gguf = BlockQ6_K;
  static constexpr int kOffset = 32;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 2;
  static constexpr bool kWiden = true;
  const pack::Q6KSuper* super;
  const uint16_t* scale;

  Q6_K() = default;
  Q6_K(const uint8_t* panel, int64_t k)
      : super(reinterpret_cast<const pack::Q6KSuper*>(panel)),
        scale(reinterpret_cast<const uint16_t*>(super + k / 256)) {}
  MINNOW_INLINE __m512i Line(int64_t b, int g) const {
    const pack::Q6Block& block = super[b / 8].sub[b % 8];
    const __m512i bits = _mm512_load_si512(block.high[g / 4]);
    const int shift = 4 - 2 * (g % 4);
    const __m512i high =
        shift >= 0 ? _mm512_slli_epi16(bits, shift) : _mm512_srli_epi16(bits, -shift);
    return JoinHigh(NibbleLine(block.line, g), high, 0x30);
  }
  MINNOW_INLINE Scales Load(int64_t b) const {
    Scales out = {};
    out.d = LoadHalf16(scale + kPanel * (b / 8));
    out.half[0] = LoadInt8x16(super[b / 8].scale[b % 8][0]);
    out.half[1] = LoadInt8x16(super[b / 8].scale[b % 8][1]);
    return out;
  }
  MINNOW_INLINE void Prefetch(int64_t b) const {
    PrefetchAhead<sizeof(*super) / 8>(reinterpret_cast<const uint8_t*>(super) +
                                      sizeof(*super) / 8 * b);
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
