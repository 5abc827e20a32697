// The AVX-512 VNNI kernels by type, for the table in linear.cc.
#pragma once

#include "kernels/linear.h"

namespace minnow::cpu::avx512vnni {

using MultiplyFunction = void(const void* panels, int64_t k, const Activations& x, int64_t t0,
                              int64_t t1, int64_t p0, int64_t p1, int64_t n_total, float* y,
                              int64_t ldy);
MultiplyFunction MultiplyF32, MultiplyF16, MultiplyBF16;        // linear_float.cc
MultiplyFunction AccumulateF32, AccumulateF16, AccumulateBF16;  // likewise
MultiplyFunction MultiplyQ8_0, MultiplyQ4_0, MultiplyQ5_0;      // linear_scaled.cc
MultiplyFunction MultiplyQ4_K, MultiplyQ5_K, MultiplyQ6_K;      // linear_kquant.cc

}  // namespace minnow::cpu::avx512vnni
