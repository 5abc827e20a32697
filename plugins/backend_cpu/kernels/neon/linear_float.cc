// F32, F16 and BF16 on ASIMD.
//
// y[t,n] (+)= sum_k x[t,k] * W[n,k] in ascending k, one FMA each.   x: f32.   W: [N,K], packed by
// pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref.
#include "kernels/neon/linear_formats.h"
#include "kernels/neon/linear_tile.h"

namespace minnow::cpu::neon {
namespace {

// 4 weights of one k.
struct F32 {
  using Gguf = float;
  static float32x4_t Load(const float* w) { return vld1q_f32(w); }
};
struct F16 {
  using Gguf = pack::F16;
  static float32x4_t Load(const pack::F16* w) { return LoadHalf4(&w->bits); }
};
struct BF16 {
  using Gguf = pack::BF16;
  static float32x4_t Load(const pack::BF16* w) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&w->bits), 16));
  }
};

// y[R][16] = rows times a panel, or more of the sums that stand there. R = 6 takes 24 accumulators,
// four weights and an activation of 32 registers.
template <class Format, bool kAdd, int R>
[[gnu::noinline]] void FloatTile(const typename Format::Gguf* panel, const float* x, int64_t ld,
                                 int64_t k, const Output& out) {
  float32x4_t acc[R][4];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int v = 0; v < 4; ++v) {
      acc[r][v] = kAdd ? Load4(out, r, v) : vdupq_n_f32(0.0f);
    }
  }
  for (int64_t i = 0; i < k; ++i) {
    float32x4_t w[4];
    MINNOW_UNROLL for (int v = 0; v < 4; ++v) w[v] = Format::Load(panel + kPanel * i + 4 * v);
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      MINNOW_UNROLL for (int v = 0; v < 4; ++v) {
        acc[r][v] = vfmaq_n_f32(acc[r][v], w[v], x[r * ld + i]);
      }
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int v = 0; v < 4; ++v) Store4(out, r, v, acc[r][v]);
  }
}

template <class Format, bool kAdd>
void Multiply(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
              int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  const size_t stride = pack::PanelBytes<typename Format::Gguf>(k);
  for (int64_t p = p0; p < p1; ++p) {
    const auto* panel = reinterpret_cast<const typename Format::Gguf*>(
        static_cast<const uint8_t*>(panels) + static_cast<size_t>(p) * stride);
    ForEachTile<6>(t0, t1, [&]<int R>(int64_t t) {
      const Output out = {y + t * ldy + p * kPanel, ldy, n_total - p * kPanel};
      FloatTile<Format, kAdd, R>(panel, x.f32 + t * x.ld, x.ld, k, out);
    });
  }
}

}  // namespace

void MultiplyF32(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                 int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<F32, false>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void AccumulateF32(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<F32, true>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                 int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<F16, false>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void AccumulateF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<F16, true>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyBF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<BF16, false>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void AccumulateBF16(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                    int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<BF16, true>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

}  // namespace minnow::cpu::neon
