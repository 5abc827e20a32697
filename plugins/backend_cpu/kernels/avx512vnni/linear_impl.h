// The integer matrix product of the AVX-512 VNNI level, over any packed format. Included by the
// files that define a format; everything is local to them, so that no AVX-512 code can be linked
// into a path of an older CPU.
//
// A Source reads one packed panel:
//   kOffset       what is to be subtracted from its unsigned weights
//   kMins         a sub-block's minimum is subtracted after the scale (Q4_K, Q5_K)
//   kHalves       the two halves of a block have integer scales of their own (Q6_K)
//   Line(b, g)    64 weights: elements 4g..4g+3 of block b, for 16 rows
//   Load(b)       the block's scales
//   kPrefetchRows from how many rows on Prefetch<rows>(b) pays
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kernels/linear_pack.h"

#define MINNOW_UNROLL _Pragma("GCC unroll 16")
#define MINNOW_INLINE [[gnu::always_inline]] inline

namespace minnow::cpu::avx512vnni {
namespace {

struct Scales {
  __m512 d;
  __m512 min;       // kMins
  __m512i half[2];  // kHalves
};

// The rows of a tile, from one block on.
struct QuantRows {
  const int8_t* q;
  const float* scale;
  const int16_t* sum;
  int64_t k;
};

inline QuantRows RowsAt(const Activations& x, int64_t t, int64_t k, int64_t block) {
  const int64_t at = t * (k / kActBlock) + block;
  return {x.q + at * kActBlock, x.scale + at, x.sum + 2 * at, k};
}

struct Output {
  float* y;  // of the tile's first row and column
  int64_t ldy;
  int64_t columns;  // that exist, from the first on
  bool add;         // continue the sums that stand there
};

inline __mmask16 ColumnMask(int64_t columns) {
  return columns >= kPanel ? __mmask16{0xffff} : static_cast<__mmask16>((1u << columns) - 1);
}

MINNOW_INLINE __m512i Broadcast4(const void* p) {
  int32_t v;
  memcpy(&v, p, sizeof(v));
  return _mm512_set1_epi32(v);
}

// first * sum[0] + second * sum[1] in every lane.
MINNOW_INLINE __m512i WeighSums(const int16_t* sum, int first, int second) {
  const uint32_t weights = (static_cast<uint32_t>(first) & 0xffff) | static_cast<uint32_t>(second)
                                                                         << 16;
  return _mm512_madd_epi16(Broadcast4(sum), _mm512_set1_epi32(static_cast<int>(weights)));
}

// Elements 4g..4g+3 out of nibbles: lines 0..3 are the low, 4..7 the high ones.
MINNOW_INLINE __m512i NibbleLine(const uint8_t (&line)[4][64], int g) {
  const __m512i both = _mm512_load_si512(line[g % 4]);
  return _mm512_and_si512(g < 4 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(0x0f));
}

// nibble | (high & mask)
MINNOW_INLINE __m512i JoinHigh(__m512i nibble, __m512i high, char mask) {
  return _mm512_ternarylogic_epi32(nibble, high, _mm512_set1_epi8(mask), 0xf8);
}

// Bits that a 16-bit shift carries over from the neighbouring byte fall to the mask.
MINNOW_INLINE __m512i FiveBitLine(const pack::Q5Block& block, int g) {
  const __m512i bits = _mm512_load_si512(block.high);
  const __m512i high = g < 4 ? _mm512_slli_epi16(bits, 4 - g) : _mm512_srli_epi16(bits, g - 4);
  return JoinHigh(NibbleLine(block.line, g), high, 0x10);
}

MINNOW_INLINE __m512 LoadHalf16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
}

// One packed panel.
template <class Group>
struct Panel {
  const Group* group;

  Panel() = default;
  explicit Panel(const uint8_t* panel) : group(reinterpret_cast<const Group*>(panel)) {}
  MINNOW_INLINE const auto& Block(int64_t b) const {
    return group[b / Group::kBlocks].block[b % Group::kBlocks];
  }
  // While the loop waits for memory, the processor's own prefetch is the best. Where several rows
  // keep the arithmetic busy it starves: then ask for what lies far ahead, into L2 (Q8_0, 8 rows:
  // 313 instead of 195 GOPS). One row of the types that take most work a line gains by a nearer
  // request (Q6_K: 28 instead of 23 GB/s). The address may lie behind the tensor; a prefetch of it
  // does nothing.
  template <int kRows>
  MINNOW_INLINE void Prefetch(int64_t b) const {
    constexpr size_t kBytes = sizeof(Group) / Group::kBlocks;
    const uintptr_t at = reinterpret_cast<uintptr_t>(group) + kBytes * static_cast<size_t>(b);
    MINNOW_UNROLL for (size_t i = 0; i < kBytes; i += 64) {
      if constexpr (kRows == 1) {
        _mm_prefetch(reinterpret_cast<const char*>(at + 2048 + i), _MM_HINT_T0);
      } else {
        _mm_prefetch(reinterpret_cast<const char*>(at + 8192 + i), _MM_HINT_T1);
      }
    }
  }
};

// y[R][16 C] (+)= rows times C panels. The accumulators stay in registers over all of k: R*C float
// ones and as many integer ones, which start at -offset * sum(x) and so pay for the unsigned
// weights. R*C = 12 leaves 8 of 32 registers for weights and activations and hides the latency of
// vpdpbusd.
template <class Source, int R, int C>
[[gnu::noinline]] void Tile(const Source* panel, const QuantRows& x, int64_t blocks,
                            const Output& out) {
  __m512 acc[R][C];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int c = 0; c < C; ++c) {
      acc[r][c] = out.add ? _mm512_maskz_loadu_ps(ColumnMask(out.columns - kPanel * c),
                                                  out.y + r * out.ldy + kPanel * c)
                          : _mm512_setzero_ps();
    }
  }
  Source w[C];
  MINNOW_UNROLL for (int c = 0; c < C; ++c) w[c] = panel[c];
  for (int64_t b = 0; b < blocks; ++b) {
    if constexpr (C == 1) {  // a panel that comes from memory
      if constexpr (R >= Source::kPrefetchRows) w[0].template Prefetch<R>(b);
    }
    Scales scales[C];
    MINNOW_UNROLL for (int c = 0; c < C; ++c) scales[c] = w[c].Load(b);
    __m512i total[R][C];
    MINNOW_UNROLL for (int half = 0; half < Source::kHalves; ++half) {
      __m512i sum[R][C];
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        __m512i start = _mm512_setzero_si512();
        if constexpr (Source::kOffset != 0) {
          start = WeighSums(x.sum + r * (x.k / 16) + 2 * b, half == 0 ? -Source::kOffset : 0,
                            half == 1 || Source::kHalves == 1 ? -Source::kOffset : 0);
        }
        MINNOW_UNROLL for (int c = 0; c < C; ++c) sum[r][c] = start;
      }
      constexpr int kGroups = 8 / Source::kHalves;
      MINNOW_UNROLL for (int g = half * kGroups; g < (half + 1) * kGroups; ++g) {
        __m512i line[C];
        MINNOW_UNROLL for (int c = 0; c < C; ++c) line[c] = w[c].Line(b, g);
        MINNOW_UNROLL for (int r = 0; r < R; ++r) {
          const __m512i xs = Broadcast4(x.q + r * x.k + 32 * b + 4 * g);
          MINNOW_UNROLL for (int c = 0; c < C; ++c) {
            sum[r][c] = _mm512_dpbusd_epi32(sum[r][c], line[c], xs);
          }
        }
      }
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        MINNOW_UNROLL for (int c = 0; c < C; ++c) {
          if constexpr (Source::kHalves == 1) {
            total[r][c] = sum[r][c];
          } else {
            const __m512i scaled = _mm512_mullo_epi32(sum[r][c], scales[c].half[half]);
            total[r][c] = half == 0 ? scaled : _mm512_add_epi32(total[r][c], scaled);
          }
        }
      }
    }
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      const __m512 dx = _mm512_set1_ps(x.scale[r * (x.k / 32) + b]);
      MINNOW_UNROLL for (int c = 0; c < C; ++c) {
        acc[r][c] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total[r][c]), _mm512_mul_ps(scales[c].d, dx),
                                    acc[r][c]);
      }
      if constexpr (Source::kMins) {
        const __m512i sum = WeighSums(x.sum + r * (x.k / 16) + 2 * b, 1, 1);
        const __m512 x_sum = _mm512_mul_ps(dx, _mm512_cvtepi32_ps(sum));
        MINNOW_UNROLL for (int c = 0; c < C; ++c) {
          acc[r][c] = _mm512_fnmadd_ps(scales[c].min, x_sum, acc[r][c]);
        }
      }
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int c = 0; c < C; ++c) {
      _mm512_mask_storeu_ps(out.y + r * out.ldy + kPanel * c, ColumnMask(out.columns - kPanel * c),
                            acc[r][c]);
    }
  }
}

// Rows of the next tile when `rows` are left and tiles hold up to `most`: all tiles of nearly one
// size.
inline int64_t TileRows(int64_t rows, int64_t most) {
  const int64_t tiles = (rows + most - 1) / most;
  return (rows + tiles - 1) / tiles;
}

// One panel, up to 8 rows at a time: every line is read and widened once per 8 rows.
template <class Source>
void MultiplyPanel(const Source& w, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   float* y, int64_t ldy, int64_t columns) {
  for (int64_t t = t0; t < t1;) {
    const int64_t rows = TileRows(t1 - t, 8);
    const QuantRows in = RowsAt(x, t, k, 0);
    const Output out = {y + t * ldy, ldy, columns, false};
    const int64_t blocks = k / kActBlock;
    switch (rows) {
      case 1:
        Tile<Source, 1, 1>(&w, in, blocks, out);
        break;
      case 2:
        Tile<Source, 2, 1>(&w, in, blocks, out);
        break;
      case 3:
        Tile<Source, 3, 1>(&w, in, blocks, out);
        break;
      case 4:
        Tile<Source, 4, 1>(&w, in, blocks, out);
        break;
      case 5:
        Tile<Source, 5, 1>(&w, in, blocks, out);
        break;
      case 6:
        Tile<Source, 6, 1>(&w, in, blocks, out);
        break;
      case 7:
        Tile<Source, 7, 1>(&w, in, blocks, out);
        break;
      default:
        Tile<Source, 8, 1>(&w, in, blocks, out);
        break;
    }
    t += rows;
  }
}

// A block after widening: what every tile of a prefill reads again and again.
struct WideBlock {
  uint8_t line[8][64];
  float d[16];
  float min[16];
  int32_t half[2][16];
};

// Tiles of 6x2 take two panels: from how many rows on. Widening both first has to be earned (Q4_0:
// 305 GOPS without it at 16 rows, 260 with it at 32, 320 at 512). From 20 rows on all tiles have 5
// or 6.
inline constexpr int64_t kPairRows = 20;
inline constexpr int64_t kWidenRows = 96;
// 1024 k of two panels: 44 KB of stack, which stays in L2 (512 KB and more) while all rows pass by,
// and pays for reloading the accumulators (24 moves per 3072 vpdpbusd).
inline constexpr int64_t kWideBlocks = 32;

template <class Source>
struct Widened {
  static constexpr int kOffset = Source::kOffset;
  static constexpr bool kMins = Source::kMins;
  static constexpr int kHalves = Source::kHalves;
  const WideBlock* block;

  static void Fill(const Source& w, int64_t first, int64_t blocks, WideBlock* out) {
    for (int64_t b = 0; b < blocks; ++b) {
      MINNOW_UNROLL for (int g = 0; g < 8; ++g) {
        _mm512_store_si512(out[b].line[g], w.Line(first + b, g));
      }
      const Scales scales = w.Load(first + b);
      _mm512_store_ps(out[b].d, scales.d);
      if constexpr (kMins) _mm512_store_ps(out[b].min, scales.min);
      if constexpr (kHalves == 2) {
        _mm512_store_si512(out[b].half[0], scales.half[0]);
        _mm512_store_si512(out[b].half[1], scales.half[1]);
      }
    }
  }
  MINNOW_INLINE __m512i Line(int64_t b, int g) const { return _mm512_load_si512(block[b].line[g]); }
  MINNOW_INLINE Scales Load(int64_t b) const {
    Scales s = {};
    s.d = _mm512_load_ps(block[b].d);
    if constexpr (kMins) s.min = _mm512_load_ps(block[b].min);
    if constexpr (kHalves == 2) {
      s.half[0] = _mm512_load_si512(block[b].half[0]);
      s.half[1] = _mm512_load_si512(block[b].half[1]);
    }
    return s;
  }
};

// Two panels times rows [t0,t1), from block `first` on: tiles of 6x2.
template <class Source>
void MultiplyPair(const Source* w, int64_t first, int64_t blocks, int64_t k, const Activations& x,
                  int64_t t0, int64_t t1, float* y, int64_t ldy, int64_t columns) {
  for (int64_t t = t0; t < t1;) {
    const int64_t rows = TileRows(t1 - t, 6);
    const QuantRows in = RowsAt(x, t, k, first);
    const Output out = {y + t * ldy, ldy, columns, first > 0};
    if (rows == 5) {
      Tile<Source, 5, 2>(w, in, blocks, out);
    } else {
      Tile<Source, 6, 2>(w, in, blocks, out);
    }
    t += rows;
  }
}

template <class Source>
void WidenPair(const Source* w, int64_t k, const Activations& x, int64_t t0, int64_t t1, float* y,
               int64_t ldy, int64_t columns) {
  alignas(64) WideBlock scratch[2][kWideBlocks];
  const Widened<Source> wide[2] = {{scratch[0]}, {scratch[1]}};
  for (int64_t first = 0; first < k / kActBlock; first += kWideBlocks) {
    const int64_t left = k / kActBlock - first;
    const int64_t blocks = left < kWideBlocks ? left : kWideBlocks;
    for (int c = 0; c < 2; ++c) Widened<Source>::Fill(w[c], first, blocks, scratch[c]);
    MultiplyPair(wide, first, blocks, k, x, t0, t1, y, ldy, columns);
  }
}

// LinearKernel::multiply. Source has kWiden: whether reading a line costs more than a load.
template <class Source>
void Multiply(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
              int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  const size_t stride = pack::PanelBytes<typename Source::Gguf>(k);
  const auto panel = [&](int64_t p) {
    return Source(static_cast<const uint8_t*>(panels) + static_cast<size_t>(p) * stride);
  };
  int64_t p = p0;
  for (; t1 - t0 >= (Source::kWiden ? kWidenRows : kPairRows) && p + 2 <= p1; p += 2) {
    const Source pair[2] = {panel(p), panel(p + 1)};
    float* const out = y + p * kPanel;
    if constexpr (Source::kWiden) {
      WidenPair(pair, k, x, t0, t1, out, ldy, n_total - p * kPanel);
    } else {
      MultiplyPair(pair, 0, k / kActBlock, k, x, t0, t1, out, ldy, n_total - p * kPanel);
    }
  }
  for (; p < p1; ++p) {
    MultiplyPanel(panel(p), k, x, t0, t1, y + p * kPanel, ldy, n_total - p * kPanel);
  }
}

}  // namespace
}  // namespace minnow::cpu::avx512vnni
