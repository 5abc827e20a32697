// F32, F16 and BF16 on AVX2 with FMA and F16C.
//
// y[t,n] (+)= sum_k x[t,k] * W[n,k] in ascending k, one FMA each.   x: f32.   W: [N,K], packed by
// pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref.
#include "kernels/avx2/linear_formats.h"
#include "kernels/avx2/linear_impl.h"

namespace minnow::cpu::avx2 {
namespace {

// 8 weights of one k.
struct F32 {
  using Gguf = float;
  static __m256 Load(const float* w) { return _mm256_load_ps(w); }
};
struct F16 {
  using Gguf = pack::F16;
  static __m256 Load(const pack::F16* w) {
    return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(w)));
  }
};
struct BF16 {
  using Gguf = pack::BF16;
  static __m256 Load(const pack::BF16* w) {
    const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
};

// y[R][16] = rows times a panel. R = 6 takes 12 accumulators, two weights and one activation of 16
// registers.
template <class Format, int R>
[[gnu::noinline]] void FloatTile(const typename Format::Gguf* panel, const float* x, int64_t ld,
                                 int64_t k, const Output& out) {
  __m256 acc[R][2];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
      acc[r][h] = out.add
                      ? _mm256_maskload_ps(out.y + r * out.ldy + 8 * h, ColumnMask(out.columns, h))
                      : _mm256_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    const __m256 w[2] = {Format::Load(panel + kPanel * i), Format::Load(panel + kPanel * i + 8)};
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      const __m256 xs = _mm256_set1_ps(x[r * ld + i]);
      acc[r][0] = _mm256_fmadd_ps(w[0], xs, acc[r][0]);
      acc[r][1] = _mm256_fmadd_ps(w[1], xs, acc[r][1]);
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
      _mm256_maskstore_ps(out.y + r * out.ldy + 8 * h, ColumnMask(out.columns, h), acc[r][h]);
    }
  }
}

template <class Format>
void MultiplyFloat(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy, bool add) {
  const size_t stride = pack::PanelBytes<typename Format::Gguf>(k);
  for (int64_t p = p0; p < p1; ++p) {
    const auto* panel = reinterpret_cast<const typename Format::Gguf*>(
        static_cast<const uint8_t*>(panels) + static_cast<size_t>(p) * stride);
    for (int64_t t = t0; t < t1;) {
      const int64_t rows = TileRows(t1 - t, 6);
      const float* in = x.f32 + t * x.ld;
      const Output out = {y + t * ldy + p * kPanel, ldy, n_total - p * kPanel, add};
      switch (rows) {
        case 1:
          FloatTile<Format, 1>(panel, in, x.ld, k, out);
          break;
        case 2:
          FloatTile<Format, 2>(panel, in, x.ld, k, out);
          break;
        case 3:
          FloatTile<Format, 3>(panel, in, x.ld, k, out);
          break;
        case 4:
          FloatTile<Format, 4>(panel, in, x.ld, k, out);
          break;
        case 5:
          FloatTile<Format, 5>(panel, in, x.ld, k, out);
          break;
        default:
          FloatTile<Format, 6>(panel, in, x.ld, k, out);
          break;
      }
      t += rows;
    }
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

}  // namespace minnow::cpu::avx2
