// Packed panels as the SIMD kernels of every level read them (kernels/ref keeps GGUF's own rows).
//
// A line is 64 bytes: 4 consecutive k of each of the panel's 16 rows, byte 4*row + k%4. A block of
// 32 k is 8 lines; narrow types keep line g in the low and line g+4 in the high nibbles of one
// line, and further bits beside them. A panel repeats a group in ascending k: whole lines that hold
// two blocks (of the types with 32 to a block; the last may be half empty) or eight, and their
// scales. A panel is read as one stream: with the scales behind all blocks, decoding Q4_0
// reached 16.4 instead of 24.2 GB/s. No type grows by more than 3 % against GGUF: decoding costs
// what its bytes cost. Threads: all functions are pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear.h"
#include "minnow/sdk/blocks.h"

namespace minnow::cpu::pack {

struct Q8Block {
  uint8_t line[8][64];  // w + 128: the unsigned operand of vpdpbusd
};
struct Q4Block {
  uint8_t line[4][64];
};
struct Q5Block {
  uint8_t line[4][64];
  uint8_t high[64];  // bit g of a byte: the fifth bit of that byte of line g
};
struct Q6Block {
  uint8_t line[4][64];
  uint8_t high[2][64];  // bits 2*(g%4).. of a byte of high[g/4]: the upper two bits of that byte of
                        // line g
};

template <class B>
struct ScaledGroup {  // Q8_0, Q4_0, Q5_0
  static constexpr int kBlocks = 2;
  uint16_t d[2][16];  // [block][row]
  B block[2];
};
using Q8_0Group = ScaledGroup<Q8Block>;
using Q4_0Group = ScaledGroup<Q4Block>;
using Q5_0Group = ScaledGroup<Q5Block>;

template <class B>
struct ScaledWithMinGroup {  // Q4_K, Q5_K
  static constexpr int kBlocks = 8;
  uint16_t d[16];
  uint16_t dmin[16];
  uint8_t scale[8][16];  // [block][row]
  uint8_t min[8][16];
  B block[8];
};
using Q4_KGroup = ScaledWithMinGroup<Q4Block>;
using Q5_KGroup = ScaledWithMinGroup<Q5Block>;

struct Q6_KGroup {
  static constexpr int kBlocks = 8;
  uint16_t d[16];
  uint16_t unused[16];
  int8_t scale[8][2][16];  // [block][half][row]
  Q6Block block[8];
};
static_assert(sizeof(Q8_0Group) == 17 * 64 && sizeof(Q4_0Group) == 9 * 64 &&
              sizeof(Q5_0Group) == 11 * 64);
static_assert(sizeof(Q4_KGroup) == 37 * 64 && sizeof(Q5_KGroup) == 45 * 64 &&
              sizeof(Q6_KGroup) == 53 * 64);

// Weights without blocks, tagged: F16 and BF16 lie alike and mean different numbers.
struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};

// The pack-side entries of a LinearKernel, for Gguf = float, F16, BF16, BlockQ8_0, ... BlockQ6_K.
template <class Gguf>
size_t PanelBytes(int64_t k);
template <class Gguf>
void Pack(const void* rows, size_t row_bytes, int64_t n_rows, int64_t k, void* dst);
template <class Gguf>
void UnpackRow(const void* panel, int64_t n, int64_t k, float* out);

template <class Gguf>
consteval LinearKernel Kernel(bool quantized_input, decltype(LinearKernel::multiply) multiply,
                              decltype(LinearKernel::accumulate) accumulate = nullptr) {
  return {quantized_input, PanelBytes<Gguf>, Pack<Gguf>, UnpackRow<Gguf>, multiply, accumulate};
}

}  // namespace minnow::cpu::pack
