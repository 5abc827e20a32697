// The quantized formats of the ARM levels and their table, once per level.
//
// y[t,n] = sum_k x[t,k] * W[n,k].   x: int8 with a scale per 32.   W: [N,K], K % 32 == 0 (k-quants:
// 256), packed by pack::Pack. Threads: caller's rows and panels; allocates nothing.  Bits: those of
// ref.  Source: GGUF specification.
#pragma once

#include "kernels/neon/linear_formats.h"
#include "kernels/neon/linear_impl.h"

namespace minnow::cpu {
namespace {

template <class G, class P, int kOff, int kAdd>
struct ScaledPanel : Panel<P> {
  using Gguf = G;
  using Panel<P>::Panel;
  static constexpr int kOffset = kOff;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 1;
  static constexpr int kAdds = kAdd;

  MINNOW_INLINE Scales Load(int64_t b, int v) const {
    Scales s = {};
    s.d = LoadHalf4(this->group[b / 2].d[b % 2] + 4 * v);
    return s;
  }
};

struct Q8_0 : ScaledPanel<BlockQ8_0, pack::Q8_0Group, 0, 2> {
  using ScaledPanel::ScaledPanel;
  // Packed as w + 128.
  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    return vreinterpretq_s8_u8(veorq_u8(LoadLine(Block(b).line[g], v), vdupq_n_u8(0x80)));
  }
};

struct Q4_0 : ScaledPanel<BlockQ4_0, pack::Q4_0Group, 8, 8> {
  using ScaledPanel::ScaledPanel;
  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    return vreinterpretq_s8_u8(NibbleLine(Block(b).line, g, v));
  }
};

struct Q5_0 : ScaledPanel<BlockQ5_0, pack::Q5_0Group, 16, 8> {
  using ScaledPanel::ScaledPanel;
  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    return FiveBitLine(Block(b), g, v);
  }
};

// Four bytes as numbers.
MINNOW_INLINE uint8x8_t LoadBytes4(const void* p) {
  uint32_t four;
  memcpy(&four, p, sizeof(four));
  return vreinterpret_u8_u32(vdup_n_u32(four));
}
MINNOW_INLINE float32x4_t LoadUint8x4(const uint8_t* p) {
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(LoadBytes4(p)))));
}
MINNOW_INLINE int32x4_t LoadInt8x4(const int8_t* p) {
  return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(LoadBytes4(p)))));
}

template <class G, class P>
struct ScaledWithMinPanel : Panel<P> {
  using Gguf = G;
  using Panel<P>::Panel;
  static constexpr int kOffset = 0;
  static constexpr bool kMins = true;
  static constexpr int kHalves = 1;
  static constexpr int kAdds = 8;

  // Both products are exact: 11 bits times 6.
  MINNOW_INLINE Scales Load(int64_t b, int v) const {
    const P& p = this->group[b / 8];
    Scales s = {};
    s.d = vmulq_f32(LoadHalf4(p.d + 4 * v), LoadUint8x4(p.scale[b % 8] + 4 * v));
    s.min = vmulq_f32(LoadHalf4(p.dmin + 4 * v), LoadUint8x4(p.min[b % 8] + 4 * v));
    return s;
  }
};

struct Q4_K : ScaledWithMinPanel<BlockQ4_K, pack::Q4_KGroup> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    return vreinterpretq_s8_u8(NibbleLine(Block(b).line, g, v));
  }
};

struct Q5_K : ScaledWithMinPanel<BlockQ5_K, pack::Q5_KGroup> {
  using ScaledWithMinPanel::ScaledWithMinPanel;
  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    return FiveBitLine(Block(b), g, v);
  }
};

struct Q6_K : Panel<pack::Q6_KGroup> {
  using Gguf = BlockQ6_K;
  using Panel::Panel;
  static constexpr int kOffset = 32;
  static constexpr bool kMins = false;
  static constexpr int kHalves = 2;
  static constexpr int kAdds = 4;

  MINNOW_INLINE int8x16_t Line(int64_t b, int g, int v) const {
    const auto& block = Block(b);
    return JoinHigh(NibbleLine(block.line, g, v), LoadLine(block.high[g / 4], v), 4 - 2 * (g % 4),
                    0x30);
  }
  MINNOW_INLINE Scales Load(int64_t b, int v) const {
    const pack::Q6_KGroup& p = group[b / 8];
    Scales s = {};
    s.d = LoadHalf4(p.d + 4 * v);
    s.half[0] = LoadInt8x4(p.scale[b % 8][0] + 4 * v);
    s.half[1] = LoadInt8x4(p.scale[b % 8][1] + 4 * v);
    return s;
  }
};

constexpr LinearKernels kKernels = {
    .quantize_row = neon::QuantizeRow,
    .f32 = pack::Kernel<float>(false, neon::MultiplyF32, neon::AccumulateF32),
    .f16 = pack::Kernel<pack::F16>(false, neon::MultiplyF16, neon::AccumulateF16),
    .bf16 = pack::Kernel<pack::BF16>(false, neon::MultiplyBF16, neon::AccumulateBF16),
    .q8_0 = pack::Kernel<BlockQ8_0>(true, Multiply<Q8_0>),
    .q4_0 = pack::Kernel<BlockQ4_0>(true, Multiply<Q4_0>),
    .q5_0 = pack::Kernel<BlockQ5_0>(true, Multiply<Q5_0>),
    .q4_k = pack::Kernel<BlockQ4_K>(true, Multiply<Q4_K>),
    .q5_k = pack::Kernel<BlockQ5_K>(true, Multiply<Q5_K>),
    .q6_k = pack::Kernel<BlockQ6_K>(true, Multiply<Q6_K>),
};

}  // namespace
}  // namespace minnow::cpu
