// The kernels that need nothing newer than ASIMD, shared by all ARM levels.
#pragma once

#include "kernels/linear.h"

namespace minnow::cpu::neon {

using MultiplyFunction = void(const void* panels, int64_t k, const Activations& x, int64_t t0,
                              int64_t t1, int64_t p0, int64_t p1, int64_t n_total, float* y,
                              int64_t ldy);
MultiplyFunction MultiplyF32, MultiplyF16, MultiplyBF16;        // linear_float.cc
MultiplyFunction AccumulateF32, AccumulateF16, AccumulateBF16;  // likewise

// As LinearKernels::quantize_row.
void QuantizeRow(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum);

}  // namespace minnow::cpu::neon
