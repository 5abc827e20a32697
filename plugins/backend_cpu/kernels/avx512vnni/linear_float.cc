// F32, F16 and BF16 on AVX-512.
//
// y[t,n] (+)= sum_k x[t,k] * W[n,k] in ascending k, one FMA each.   x: f32.   W: [N,K], packed by
// pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref.
#include <immintrin.h>

#include "kernels/avx512vnni/linear_formats.h"
#include "kernels/avx512vnni/linear_impl.h"

namespace minnow::cpu::avx512vnni {
namespace {

// 16 weights of one k.
struct F32 {
  using Gguf = float;
  static __m512 Load(const float* w) { return _mm512_load_ps(w); }
};
struct F16 {
  using Gguf = pack::F16;
  static __m512 Load(const pack::F16* w) {
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(w)));
  }
};
struct BF16 {
  using Gguf = pack::BF16;
  static __m512 Load(const pack::BF16* w) {
    const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(w));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
};

// y[R][16 C] (+)= rows times C panels, `stride` elements apart.
template <class Format, int R, int C>
[[gnu::noinline]] void FloatTile(const typename Format::Gguf* panel, int64_t stride, const float* x,
                                 int64_t ld, int64_t k, const Output& out) {
  __m512 acc[R][C];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int c = 0; c < C; ++c) {
      acc[r][c] = out.add ? _mm512_maskz_loadu_ps(ColumnMask(out.columns - kPanel * c),
                                                  out.y + r * out.ldy + kPanel * c)
                          : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    __m512 w[C];
    MINNOW_UNROLL for (int c = 0; c < C; ++c) w[c] = Format::Load(panel + c * stride + kPanel * i);
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      const __m512 xs = _mm512_set1_ps(x[r * ld + i]);
      MINNOW_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = _mm512_fmadd_ps(w[c], xs, acc[r][c]);
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int c = 0; c < C; ++c) {
      _mm512_mask_storeu_ps(out.y + r * out.ldy + kPanel * c, ColumnMask(out.columns - kPanel * c),
                            acc[r][c]);
    }
  }
}

template <class Format, int C>
void MultiplyPanels(const typename Format::Gguf* panel, int64_t stride, int64_t k,
                    const Activations& x, int64_t t0, int64_t t1, float* y, int64_t ldy,
                    int64_t columns, bool add) {
  for (int64_t t = t0; t < t1;) {
    const int64_t rows = TileRows(t1 - t, 8);
    const float* in = x.f32 + t * x.ld;
    const Output out = {y + t * ldy, ldy, columns, add};
    switch (rows) {
      case 1:
        FloatTile<Format, 1, C>(panel, stride, in, x.ld, k, out);
        break;
      case 2:
        FloatTile<Format, 2, C>(panel, stride, in, x.ld, k, out);
        break;
      case 3:
        FloatTile<Format, 3, C>(panel, stride, in, x.ld, k, out);
        break;
      case 4:
        FloatTile<Format, 4, C>(panel, stride, in, x.ld, k, out);
        break;
      case 5:
        FloatTile<Format, 5, C>(panel, stride, in, x.ld, k, out);
        break;
      case 6:
        FloatTile<Format, 6, C>(panel, stride, in, x.ld, k, out);
        break;
      case 7:
        FloatTile<Format, 7, C>(panel, stride, in, x.ld, k, out);
        break;
      default:
        FloatTile<Format, 8, C>(panel, stride, in, x.ld, k, out);
        break;
    }
    t += rows;
  }
}

// Three panels at a time: 24 accumulators of 8 rows hide the latency of the FMA, and one row still
// has three chains.
template <class Format>
void MultiplyFloat(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy, bool add) {
  const int64_t stride = static_cast<int64_t>(pack::PanelBytes<typename Format::Gguf>(k) /
                                              sizeof(typename Format::Gguf));
  const auto* first = static_cast<const typename Format::Gguf*>(panels);
  int64_t p = p0;
  for (; p + 3 <= p1; p += 3) {
    MultiplyPanels<Format, 3>(first + p * stride, stride, k, x, t0, t1, y + p * kPanel, ldy,
                              n_total - p * kPanel, add);
  }
  for (; p < p1; ++p) {
    MultiplyPanels<Format, 1>(first + p * stride, stride, k, x, t0, t1, y + p * kPanel, ldy,
                              n_total - p * kPanel, add);
  }
}

}  // namespace

void MultiplyF32(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                 int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<F32>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, false);
}

void AccumulateF32(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<F32>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, true);
}

void MultiplyF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                 int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<F16>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, false);
}

void AccumulateF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<F16>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, true);
}

void MultiplyBF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<BF16>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, false);
}

void AccumulateBF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                    int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  MultiplyFloat<BF16>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy, true);
}

}  // namespace minnow::cpu::avx512vnni
