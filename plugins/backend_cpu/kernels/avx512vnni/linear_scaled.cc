// Q8_0, Q4_0 and Q5_0 on AVX-512 VNNI.
//
// y[t,n] = sum_k x[t,k] * W[n,k].   x: int8 with a scale per 32.   W: [N,K], K % 32 == 0, packed by
// pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of ref.  Source:
// GGUF specification.
#include "kernels/avx512vnni/linear_formats.h"
#include "kernels/avx512vnni/linear_impl.h"

namespace minnow::cpu::avx512vnni {
namespace {

template <class G, class P, int kOff>
struct ScaledPanel : Panel<P> {
  using Gguf = G;
  using Panel<P>::Panel;
  static constexpr int kOffset = kOff;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 1;

  MINNOW_INLINE Scales Load(int64_t b) const {
    Scales s = {};
    s.d = LoadHalf16(this->group[b / 2].d[b % 2]);
    return s;
  }
};

struct Q8_0 : ScaledPanel<BlockQ8_0, pack::Q8_0Group, 128> {
  using ScaledPanel::ScaledPanel;
  static constexpr bool kWiden = false;
  static constexpr int kPrefetchRows = 4;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return _mm512_load_si512(Block(b).line[g]); }
};

struct Q4_0 : ScaledPanel<BlockQ4_0, pack::Q4_0Group, 8> {
  using ScaledPanel::ScaledPanel;
  static constexpr bool kWiden = true;
  static constexpr int kPrefetchRows = 2;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return NibbleLine(Block(b).line, g); }
};

struct Q5_0 : ScaledPanel<BlockQ5_0, pack::Q5_0Group, 16> {
  using ScaledPanel::ScaledPanel;
  static constexpr bool kWiden = true;
  static constexpr int kPrefetchRows = 2;
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return FiveBitLine(Block(b), g); }
};

}  // namespace

void MultiplyQ8_0(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q8_0>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyQ4_0(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q4_0>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

void MultiplyQ5_0(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                  int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  Multiply<Q5_0>(panels, k, x, t0, t1, p0, p1, n_total, y, ldy);
}

}  // namespace minnow::cpu::avx512vnni
