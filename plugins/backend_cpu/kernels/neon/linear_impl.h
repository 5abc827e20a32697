// The integer matrix product of the ARM levels, over any packed format: with the dot product of
// Armv8.2 where the including file is compiled for it, else with widening multiplications.
//
// A Source reads one packed panel, in quarters v of 4 rows:
//   kOffset       what is to be subtracted from its weights
//   kMins         a sub-block's minimum is subtracted after the scale (Q4_K, Q5_K)
//   kHalves       the two halves of a block have integer scales of their own (Q6_K)
//   kAdds         products that fit into 16 bits: 127 * kAdds * the largest |weight| < 2^15
//   Line(b, g, v) 16 signed weights: elements 4g..4g+3 of block b, for 4 rows
//   Load(b, v)    the block's scales
#pragma once

#include "kernels/neon/linear_tile.h"

namespace minnow::cpu {
namespace {

struct Scales {
  float32x4_t d;
  float32x4_t min;    // kMins
  int32x4_t half[2];  // kHalves
};

// The rows of a tile.
struct QuantRows {
  const int8_t* q;
  const float* scale;
  const int16_t* sum;
  int64_t k;
};

inline QuantRows RowsAt(const Activations& x, int64_t t, int64_t k) {
  return {x.q + t * k, x.scale + t * (k / 32), x.sum + t * (k / 16), k};
}

MINNOW_INLINE uint8x16_t LoadLine(const uint8_t (&line)[64], int v) {
  return vld1q_u8(line + 16 * v);
}

// Elements 4g..4g+3 out of nibbles: lines 0..3 are the low, 4..7 the high ones.
MINNOW_INLINE uint8x16_t NibbleLine(const uint8_t (&line)[4][64], int g, int v) {
  const uint8x16_t both = LoadLine(line[g % 4], v);
  return g < 4 ? vandq_u8(both, vdupq_n_u8(0x0f)) : vshrq_n_u8(both, 4);
}

// nibble | (high shifted left & mask). A negative shift goes right.
MINNOW_INLINE int8x16_t JoinHigh(uint8x16_t nibble, uint8x16_t high, int shift, uint8_t mask) {
  const uint8x16_t bits =
      shift >= 0 ? high << static_cast<uint8_t>(shift) : high >> static_cast<uint8_t>(-shift);
  return vreinterpretq_s8_u8(vorrq_u8(nibble, vandq_u8(bits, vdupq_n_u8(mask))));
}

MINNOW_INLINE int8x16_t FiveBitLine(const pack::Q5Block& block, int g, int v) {
  return JoinHigh(NibbleLine(block.line, g, v), LoadLine(block.high, v), 4 - g, 0x10);
}

// One packed panel.
template <class Group>
struct Panel {
  const Group* group;

  explicit Panel(const uint8_t* panel) : group(reinterpret_cast<const Group*>(panel)) {}
  MINNOW_INLINE const auto& Block(int64_t b) const {
    return group[b / Group::kBlocks].block[b % Group::kBlocks];
  }
};

// Ends what the compiler may reorder: GCC loads every line of an unrolled block first, and then
// lacks registers for the sums (Q4_K, 4 rows: 145 accesses to the stack a block instead of 55).
MINNOW_INLINE void Settle() { asm volatile("" ::: "memory"); }

#if defined(__ARM_FEATURE_DOTPROD)
// Quarters of a panel that are worked on at once: at least 4 chains of sums hide the latency, and
// with all accumulators of 4 rows, 8 chains are what 32 registers hold.
template <int R>
inline constexpr int kQuarters = R <= 2 ? 4 : 2;

// Line 4i+j of block b, times that of R rows.
template <int j, class Source, int R, int C>
MINNOW_INLINE void AddLine(const Source& w, int64_t b, int i, int v, const int8x16_t (&xs)[R],
                           int32x4_t (&sum)[R][C]) {
  Settle();
  MINNOW_UNROLL for (int c = 0; c < C; ++c) {
    const int8x16_t line = w.Line(b, 4 * i + j, v + c);
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      sum[r][c] = vdotq_laneq_s32(sum[r][c], line, xs[r], j);
    }
  }
}

// sum[r][c] += the products of lines [g0,g1) of block b, in quarter v + c.
template <class Source, int R, int C>
MINNOW_INLINE void AddLines(const Source& w, const QuantRows& x, int64_t b, int g0, int g1, int v,
                            int32x4_t (&sum)[R][C]) {
  MINNOW_UNROLL for (int i = g0 / 4; i < g1 / 4; ++i) {
    int8x16_t xs[R];
    MINNOW_UNROLL for (int r = 0; r < R; ++r) xs[r] = vld1q_s8(x.q + r * x.k + 32 * b + 16 * i);
    AddLine<0>(w, b, i, v, xs, sum);
    AddLine<1>(w, b, i, v, xs, sum);
    AddLine<2>(w, b, i, v, xs, sum);
    AddLine<3>(w, b, i, v, xs, sum);
  }
}
#else
// Quarters of a panel that are worked on at once: their products take two registers a row, and
// eight of those are what the accumulators of 4 rows leave.
template <int R>
inline constexpr int kQuarters = R <= 2 ? 4 / R : 1;

// sum[r][c] += the products of lines [g0,g1) of block b, in quarter v + c. Four lanes of 16 bits
// belong to a column; kAdds lines fit into them.
template <class Source, int R, int C>
MINNOW_INLINE void AddLines(const Source& w, const QuantRows& x, int64_t b, int g0, int g1, int v,
                            int32x4_t (&sum)[R][C]) {
  MINNOW_UNROLL for (int g = g0; g < g1; g += Source::kAdds) {
    int16x8_t low[R][C], high[R][C];
    MINNOW_UNROLL for (int i = g; i < g + Source::kAdds; ++i) {
      Settle();
      int8x16_t line[C];
      MINNOW_UNROLL for (int c = 0; c < C; ++c) line[c] = w.Line(b, i, v + c);
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        int32_t four;
        memcpy(&four, x.q + r * x.k + 32 * b + 4 * i, sizeof(four));
        const int8x16_t xs = vreinterpretq_s8_s32(vdupq_n_s32(four));
        MINNOW_UNROLL for (int c = 0; c < C; ++c) {
          const int8x8_t half = vget_low_s8(line[c]);
          low[r][c] =
              i == g ? vmull_s8(half, vget_low_s8(xs)) : vmlal_s8(low[r][c], half, vget_low_s8(xs));
          high[r][c] = i == g ? vmull_high_s8(line[c], xs) : vmlal_high_s8(high[r][c], line[c], xs);
        }
      }
    }
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      MINNOW_UNROLL for (int c = 0; c < C; ++c) {
        const int32x4_t columns = vpaddq_s32(vpaddlq_s16(low[r][c]), vpaddlq_s16(high[r][c]));
        sum[r][c] = vaddq_s32(sum[r][c], columns);
      }
    }
  }
}
#endif

// Exact integer sums of R rows over quarters v.. of a panel: the block's, or for Q6_K its scaled
// halves'.
template <class Source, int R, int C>
MINNOW_INLINE void DotBlock(const Source& w, const QuantRows& x, int64_t b, int v,
                            const Scales (&scales)[C], int32x4_t (&total)[R][C]) {
  constexpr int kLines = 8 / Source::kHalves;
  MINNOW_UNROLL for (int half = 0; half < Source::kHalves; ++half) {
    int32x4_t sum[R][C];
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      const int16_t* sums = x.sum + r * (x.k / 16) + 2 * b;
      const int start = Source::kOffset == 0   ? 0
                        : Source::kHalves == 2 ? -Source::kOffset * sums[half]
                                               : -Source::kOffset * (sums[0] + sums[1]);
      MINNOW_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = vdupq_n_s32(start);
    }
    AddLines(w, x, b, half * kLines, (half + 1) * kLines, v, sum);
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      MINNOW_UNROLL for (int c = 0; c < C; ++c) {
        if constexpr (Source::kHalves == 1) {
          total[r][c] = sum[r][c];
        } else {
          total[r][c] = half == 0 ? vmulq_s32(sum[r][c], scales[c].half[0])
                                  : vmlaq_s32(total[r][c], sum[r][c], scales[c].half[1]);
        }
      }
    }
  }
}

// y[R][16] = rows times a panel. The accumulators stay in registers over all of k.
template <class Source, int R>
[[gnu::noinline]] void Tile(const Source& w, const QuantRows& x, const Output& out) {
  constexpr int C = kQuarters<R>;
  float32x4_t acc[R][4];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int v = 0; v < 4; ++v) acc[r][v] = vdupq_n_f32(0.0f);
  }
  for (int64_t b = 0; b < x.k / kActBlock; ++b) {
    MINNOW_UNROLL for (int v = 0; v < 4; v += C) {
      Scales scales[C];
      MINNOW_UNROLL for (int c = 0; c < C; ++c) scales[c] = w.Load(b, v + c);
      int32x4_t total[R][C];
      DotBlock(w, x, b, v, scales, total);
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        const float dx = x.scale[r * (x.k / 32) + b];
        MINNOW_UNROLL for (int c = 0; c < C; ++c) {
          float32x4_t& a = acc[r][v + c];
          a = vfmaq_f32(a, vcvtq_f32_s32(total[r][c]), vmulq_n_f32(scales[c].d, dx));
          if constexpr (Source::kMins) {
            const int16_t* sums = x.sum + r * (x.k / 16) + 2 * b;
            const float x_sum = dx * static_cast<float>(sums[0] + sums[1]);
            a = vfmsq_f32(a, scales[c].min, vdupq_n_f32(x_sum));
          }
        }
      }
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int v = 0; v < 4; ++v) Store4(out, r, v, acc[r][v]);
  }
}

// LinearKernel::multiply.
template <class Source>
void Multiply(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
              int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  const size_t stride = pack::PanelBytes<typename Source::Gguf>(k);
  for (int64_t p = p0; p < p1; ++p) {
    const Source panel(static_cast<const uint8_t*>(panels) + static_cast<size_t>(p) * stride);
    ForEachTile<4>(t0, t1, [&]<int R>(int64_t t) {
      const Output out = {y + t * ldy + p * kPanel, ldy, n_total - p * kPanel};
      Tile<Source, R>(panel, RowsAt(x, t, k), out);
    });
  }
}

}  // namespace
}  // namespace minnow::cpu
