// The integer matrix product of the AVX2 level, over any packed format. Included by the files that
// define a format; everything is local to them, so that no AVX2 code can be linked into a path of
// an older CPU.
//
// A Source reads one packed panel, in halves h of 8 rows:
//   kOffset        what is to be subtracted from its unsigned weights
//   kMins          a sub-block's minimum is subtracted after the scale (Q4_K, Q5_K)
//   kHalves        the two halves of a block have integer scales of their own (Q6_K)
//   kAdds          products of how many lines fit into 16 bits: 2 * 127 * kAdds * the largest
//   weight < 2^15 Line(b, g, h)  32 weights: elements 4g..4g+3 of block b, for 8 rows Load(b, h)
//   the block's scales
#pragma once

#include <immintrin.h>
#include <string.h>

#include "kernels/linear_pack.h"

#define MINNOW_UNROLL _Pragma("GCC unroll 16")
#define MINNOW_INLINE [[gnu::always_inline]] inline

namespace minnow::cpu::avx2 {
namespace {

struct Scales {
  __m256 d;
  __m256 min;       // kMins
  __m256i half[2];  // kHalves
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

// All ones in the lanes that exist of the 8 columns from 8 * h on.
inline __m256i ColumnMask(int64_t columns, int h) {
  const int exist = static_cast<int>(columns < kPanel ? columns : kPanel) - 8 * h;
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(exist), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

MINNOW_INLINE __m256i Broadcast4(const void* p) {
  int32_t v;
  memcpy(&v, p, sizeof(v));
  return _mm256_set1_epi32(v);
}

// first * sum[0] + second * sum[1] in every lane.
MINNOW_INLINE __m256i WeighSums(const int16_t* sum, int first, int second) {
  const uint32_t weights = (static_cast<uint32_t>(first) & 0xffff) | static_cast<uint32_t>(second)
                                                                         << 16;
  return _mm256_madd_epi16(Broadcast4(sum), _mm256_set1_epi32(static_cast<int>(weights)));
}

MINNOW_INLINE __m256i LoadLine(const uint8_t (&line)[64], int h) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(line) + h);
}

// Elements 4g..4g+3 out of nibbles: lines 0..3 are the low, 4..7 the high ones.
MINNOW_INLINE __m256i NibbleLine(const uint8_t (&line)[4][64], int g, int h) {
  const __m256i both = LoadLine(line[g % 4], h);
  return _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(0x0f));
}

// nibble | (high & mask)
MINNOW_INLINE __m256i JoinHigh(__m256i nibble, __m256i high, char mask) {
  return _mm256_or_si256(nibble, _mm256_and_si256(high, _mm256_set1_epi8(mask)));
}

// Bits that a 16-bit shift carries over from the neighbouring byte fall to the mask.
MINNOW_INLINE __m256i FiveBitLine(const pack::Q5Block& block, int g, int h) {
  const __m256i bits = LoadLine(block.high, h);
  const __m256i high = g < 4 ? _mm256_slli_epi16(bits, 4 - g) : _mm256_srli_epi16(bits, g - 4);
  return JoinHigh(NibbleLine(block.line, g, h), high, 0x10);
}

MINNOW_INLINE __m256 LoadHalf8(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
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

// Sums of two products in 16 bits. vpmaddubsw saturates, so 8-bit weights go in by magnitude, with
// their sign on the activation: at most 2 * 128 * 127.
template <class Source>
MINNOW_INLINE __m256i Products(__m256i line, __m256i xs) {
  if constexpr (Source::kOffset == 128) {
    const __m256i w = _mm256_xor_si256(line, _mm256_set1_epi8(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(xs, w));
  } else {
    return _mm256_maddubs_epi16(line, xs);
  }
}

// Ends what the compiler may reorder. To GCC an addition of vectors is plain arithmetic: it rewrote
// these chains as trees, whose leaves overflowed the registers (Q4_K: 107 instead of 158 GOPS).
MINNOW_INLINE void Settle(__m256i& v) { asm("" : "+x"(v)); }

// Exact integer sums of R rows over half a panel: the block's, or for Q6_K its scaled halves'.
template <class Source, int R>
MINNOW_INLINE void DotBlock(const Source& w, const QuantRows& x, int64_t b, int h,
                            const Scales& scales, __m256i (&total)[R]) {
  constexpr int kGroups = 8 / Source::kHalves;
  constexpr int kStart = Source::kOffset == 128 ? 0 : -Source::kOffset;
  MINNOW_UNROLL for (int half = 0; half < Source::kHalves; ++half) {
    __m256i sum[R];
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      sum[r] = kStart == 0 ? _mm256_setzero_si256()
                           : WeighSums(x.sum + r * (x.k / 16) + 2 * b, half == 0 ? kStart : 0,
                                       half == 1 || Source::kHalves == 1 ? kStart : 0);
    }
    MINNOW_UNROLL for (int g = half * kGroups; g < (half + 1) * kGroups; g += Source::kAdds) {
      __m256i part[R];
      MINNOW_UNROLL for (int i = g; i < g + Source::kAdds; ++i) {
        const __m256i line = w.Line(b, i, h);
        MINNOW_UNROLL for (int r = 0; r < R; ++r) {
          const __m256i pairs = Products<Source>(line, Broadcast4(x.q + r * x.k + 32 * b + 4 * i));
          part[r] = i == g ? pairs : _mm256_add_epi16(part[r], pairs);
          Settle(part[r]);
        }
      }
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(part[r], _mm256_set1_epi16(1)));
        Settle(sum[r]);
      }
    }
    MINNOW_UNROLL for (int r = 0; r < R; ++r) {
      if constexpr (Source::kHalves == 1) {
        total[r] = sum[r];
      } else {
        const __m256i scaled = _mm256_mullo_epi32(sum[r], scales.half[half]);
        total[r] = half == 0 ? scaled : _mm256_add_epi32(total[r], scaled);
      }
    }
  }
}

// y[R][16] (+)= rows times a panel, 8 columns at a time: R = 4 needs 8 float and 4 integer
// accumulators of 16 registers.
template <class Source, int R>
[[gnu::noinline]] void Tile(const Source& w, const QuantRows& x, int64_t blocks,
                            const Output& out) {
  __m256 acc[R][2];
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
      acc[r][h] = out.add
                      ? _mm256_maskload_ps(out.y + r * out.ldy + 8 * h, ColumnMask(out.columns, h))
                      : _mm256_setzero_ps();
    }
  }
  for (int64_t b = 0; b < blocks; ++b) {
    MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
      const Scales scales = w.Load(b, h);
      __m256i total[R];
      DotBlock<Source, R>(w, x, b, h, scales, total);
      MINNOW_UNROLL for (int r = 0; r < R; ++r) {
        const __m256 dx = _mm256_set1_ps(x.scale[r * (x.k / 32) + b]);
        acc[r][h] =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(total[r]), _mm256_mul_ps(scales.d, dx), acc[r][h]);
        if constexpr (Source::kMins) {
          const __m256i sum = WeighSums(x.sum + r * (x.k / 16) + 2 * b, 1, 1);
          const __m256 x_sum = _mm256_mul_ps(dx, _mm256_cvtepi32_ps(sum));
          acc[r][h] = _mm256_fnmadd_ps(scales.min, x_sum, acc[r][h]);
        }
      }
    }
  }
  MINNOW_UNROLL for (int r = 0; r < R; ++r) {
    MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
      _mm256_maskstore_ps(out.y + r * out.ldy + 8 * h, ColumnMask(out.columns, h), acc[r][h]);
    }
  }
}

// Rows of the next tile when `rows` are left and tiles hold up to `most`: all tiles of nearly one
// size.
inline int64_t TileRows(int64_t rows, int64_t most) {
  const int64_t tiles = (rows + most - 1) / most;
  return (rows + tiles - 1) / tiles;
}

// A panel times rows [t0,t1), from block `first` on.
template <class Source>
void MultiplyPanel(const Source& w, int64_t first, int64_t blocks, int64_t k, const Activations& x,
                   int64_t t0, int64_t t1, float* y, int64_t ldy, int64_t columns) {
  for (int64_t t = t0; t < t1;) {
    const int64_t rows = TileRows(t1 - t, 4);
    const QuantRows in = RowsAt(x, t, k, first);
    const Output out = {y + t * ldy, ldy, columns, first > 0};
    switch (rows) {
      case 1:
        Tile<Source, 1>(w, in, blocks, out);
        break;
      case 2:
        Tile<Source, 2>(w, in, blocks, out);
        break;
      case 3:
        Tile<Source, 3>(w, in, blocks, out);
        break;
      default:
        Tile<Source, 4>(w, in, blocks, out);
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

inline constexpr int64_t kWideRows = 16;  // from here on widening once beats widening in every tile
inline constexpr int64_t kWideBlocks = 32;  // 1024 k: 24 KB of stack, in L1 while all rows pass by

template <class Source>
struct Widened {
  static constexpr int kOffset = Source::kOffset;
  static constexpr bool kMins = Source::kMins;
  static constexpr int kHalves = Source::kHalves;
  static constexpr int kAdds = Source::kAdds;
  const WideBlock* block;

  static void Fill(const Source& w, int64_t first, int64_t blocks, WideBlock* out) {
    for (int64_t b = 0; b < blocks; ++b) {
      MINNOW_UNROLL for (int h = 0; h < 2; ++h) {
        MINNOW_UNROLL for (int g = 0; g < 8; ++g) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(out[b].line[g]) + h,
                             w.Line(first + b, g, h));
        }
        const Scales scales = w.Load(first + b, h);
        _mm256_store_ps(out[b].d + 8 * h, scales.d);
        if constexpr (kMins) _mm256_store_ps(out[b].min + 8 * h, scales.min);
        if constexpr (kHalves == 2) {
          _mm256_store_si256(reinterpret_cast<__m256i*>(out[b].half[0]) + h, scales.half[0]);
          _mm256_store_si256(reinterpret_cast<__m256i*>(out[b].half[1]) + h, scales.half[1]);
        }
      }
    }
  }
  MINNOW_INLINE __m256i Line(int64_t b, int g, int h) const {
    return LoadLine(block[b].line[g], h);
  }
  MINNOW_INLINE Scales Load(int64_t b, int h) const {
    Scales s = {};
    s.d = _mm256_load_ps(block[b].d + 8 * h);
    if constexpr (kMins) s.min = _mm256_load_ps(block[b].min + 8 * h);
    if constexpr (kHalves == 2) {
      s.half[0] = _mm256_load_si256(reinterpret_cast<const __m256i*>(block[b].half[0]) + h);
      s.half[1] = _mm256_load_si256(reinterpret_cast<const __m256i*>(block[b].half[1]) + h);
    }
    return s;
  }
};

template <class Source>
void WidenPanel(const Source& w, int64_t k, const Activations& x, int64_t t0, int64_t t1, float* y,
                int64_t ldy, int64_t columns) {
  alignas(64) WideBlock scratch[kWideBlocks];
  for (int64_t first = 0; first < k / kActBlock; first += kWideBlocks) {
    const int64_t left = k / kActBlock - first;
    const int64_t blocks = left < kWideBlocks ? left : kWideBlocks;
    Widened<Source>::Fill(w, first, blocks, scratch);
    MultiplyPanel(Widened<Source>{scratch}, first, blocks, k, x, t0, t1, y, ldy, columns);
  }
}

// LinearKernel::multiply. Source has kWiden: whether reading a line costs more than a load.
template <class Source>
void Multiply(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
              int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy) {
  const size_t stride = pack::PanelBytes<typename Source::Gguf>(k);
  for (int64_t p = p0; p < p1; ++p) {
    const Source panel(static_cast<const uint8_t*>(panels) + static_cast<size_t>(p) * stride);
    float* const out = y + p * kPanel;
    const int64_t columns = n_total - p * kPanel;
    if (Source::kWiden && t1 - t0 >= kWideRows) {
      WidenPanel(panel, k, x, t0, t1, out, ldy, columns);
    } else {
      MultiplyPanel(panel, 0, k / kActBlock, k, x, t0, t1, out, ldy, columns);
    }
  }
}

}  // namespace
}  // namespace minnow::cpu::avx2
