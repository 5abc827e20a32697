// What the linear kernels of the ARM levels share: how rows are cut into tiles and results stored.
// Everything is local to the file that includes it, so that no code of a newer CPU can be linked
// into a path of an older one.
#pragma once

#include <arm_neon.h>
#include <string.h>

#include "kernels/linear_pack.h"

#define MINNOW_UNROLL _Pragma("GCC unroll 16")
#define MINNOW_INLINE [[gnu::always_inline]] inline

namespace minnow::cpu {
namespace {

struct Output {
  float* y;  // of the tile's first row and column
  int64_t ldy;
  int64_t columns;  // that exist, from the first on
};

// Columns 4v..4v+3 of a tile's row r. No call, across which the accumulators would have to leave
// their registers.
MINNOW_INLINE void Store4(const Output& out, int r, int v, float32x4_t sums) {
  float* const to = out.y + r * out.ldy + 4 * v;
  const int64_t exist = out.columns - 4 * v;
  if (exist >= 4) {
    vst1q_f32(to, sums);
    return;
  }
  if (exist > 0) vst1q_lane_f32(to, sums, 0);
  if (exist > 1) vst1q_lane_f32(to + 1, sums, 1);
  if (exist > 2) vst1q_lane_f32(to + 2, sums, 2);
}

// The same, 0 where no column exists.
MINNOW_INLINE float32x4_t Load4(const Output& out, int r, int v) {
  const float* const from = out.y + r * out.ldy + 4 * v;
  const int64_t exist = out.columns - 4 * v;
  if (exist >= 4) return vld1q_f32(from);
  float32x4_t sums = vdupq_n_f32(0.0f);
  if (exist > 0) sums = vld1q_lane_f32(from, sums, 0);
  if (exist > 1) sums = vld1q_lane_f32(from + 1, sums, 1);
  if (exist > 2) sums = vld1q_lane_f32(from + 2, sums, 2);
  return sums;
}

MINNOW_INLINE float32x4_t LoadHalf4(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

// tile.operator()<rows>(t), for a number of rows known at run time.
template <int R, class Tile>
void CallTile(int64_t rows, int64_t t, const Tile& tile) {
  if constexpr (R > 1) {
    if (rows < R) return CallTile<R - 1>(rows, t, tile);
  }
  tile.template operator()<R>(t);
}

// Cuts rows [t0,t1) into tiles of nearly one size, at most kMost.
template <int kMost, class Tile>
void ForEachTile(int64_t t0, int64_t t1, const Tile& tile) {
  for (int64_t t = t0; t < t1;) {
    const int64_t tiles = (t1 - t + kMost - 1) / kMost;
    const int64_t rows = (t1 - t + tiles - 1) / tiles;
    CallTile<kMost>(rows, t, tile);
    t += rows;
  }
}

}  // namespace
}  // namespace minnow::cpu
