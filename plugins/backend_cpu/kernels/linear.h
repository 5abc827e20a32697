// Linear layers over packed weights: the interface that each ISA fills in, one row per tensor type.
//
// y[t,n] = sum_k x[t,k] * W[n,k].  W is repacked once into panels of kPanel consecutive output
// rows, interleaved for the kernel that reads them; x is quantized once per input and shared by its
// consumers. The numeric recipe (NUMERICS.md) fixes every sum: 32-element blocks in ascending k,
// integer sums exact inside a block, one f32 accumulator per output. So a row's bits depend neither
// on the number of rows beside it nor on the panels a thread was given, and all ISAs agree.
// Threads: every function is pure over its arguments; callers split rows or panels among threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "minnow/abi/base.h"

namespace minnow::cpu {

inline constexpr int64_t kPanel =
    16;  // output rows interleaved: one 64-byte line holds 4 k of each
inline constexpr int64_t kActBlock = 32;  // elements of an activation that share a scale
inline constexpr float kActTiny =
    0x1p-100f;  // a block whose magnitudes are all below counts as zero

// T rows of activations as a linear reads them. Rows are contiguous, 64-byte aligned.
struct Activations {
  const float* f32 = nullptr;    // [T,K], stride ld; what float weight types read
  int64_t ld = 0;                // floats between rows of f32
  const int8_t* q = nullptr;     // [T,K]      x = q * scale, |q| <= 127
  const float* scale = nullptr;  // [T,K/32]
  const int16_t* sum = nullptr;  // [T,K/16]   sum of q over half a block
};

struct LinearKernel {
  bool quantized_input;              // reads q, scale, sum; else f32
  size_t (*panel_bytes)(int64_t k);  // a multiple of 64
  // Packs rows 0..n_rows-1 (n_rows <= kPanel, the rest become zeros) of canonical GGUF rows,
  // `row_bytes` apart. dst is 64-byte aligned, panel_bytes(k) long.
  void (*pack)(const void* rows, size_t row_bytes, int64_t n_rows, int64_t k, void* dst);
  // Row n (0..kPanel-1) of a packed panel as f32, with exactly the bits of the reference
  // dequantization.
  void (*unpack_row)(const void* panel, int64_t n, int64_t k, float* out);
  // Rows [t0,t1) of x times panels [p0,p1); y[t*ldy + n], n counted from panel 0. Only n < n_total
  // are written. Allocates nothing.
  void (*multiply)(const void* panels, int64_t k, const Activations& x, int64_t t0, int64_t t1,
                   int64_t p0, int64_t p1, int64_t n_total, float* y, int64_t ldy);
  // As multiply, but each sum continues what stands in y. Null where the input is quantized.
  decltype(multiply) accumulate;
};

// The kernels of one ISA level. Entries are never null: a level without its own kernel for a type
// points to the best lower one.
struct LinearKernels {
  const LinearKernel* Find(int32_t type) const;  // nullptr for types that have none
  // x[k] -> q[k], scale[k/32], sum[k/16] by the recipe: scale = max|x| / 127, q = x / scale
  // rounded.
  void (*quantize_row)(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum);

  LinearKernel f32, f16, bf16, q8_0, q4_0, q5_0, q4_k, q5_k, q6_k;
};

namespace ref {
const LinearKernels& Linear();
}
namespace avx2 {
const LinearKernels& Linear();
}
namespace avx512vnni {
const LinearKernels& Linear();
}
namespace neon {
const LinearKernels& Linear();
}
namespace neondot {
const LinearKernels& Linear();
}

}  // namespace minnow::cpu
