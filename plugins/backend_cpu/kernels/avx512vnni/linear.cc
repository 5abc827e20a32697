// The table of the AVX-512 VNNI level, and the quantization of activations.
#include "kernels/linear.h"

#include <immintrin.h>

#include "kernels/avx512vnni/linear_formats.h"
#include "kernels/linear_pack.h"

namespace minnow::cpu::avx512vnni {
namespace {

// x[k] -> q, scale, sum, as in ref.
void QuantizeRow(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  for (int64_t b = 0; b < k / kActBlock; ++b, x += kActBlock, q += kActBlock, sum += 2) {
    const __m512 half[2] = {_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)};
    const uint32_t max_bits = _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(half[0]), magnitude),
                         _mm512_and_si512(_mm512_castps_si512(half[1]), magnitude)));
    const float max =
        _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(max_bits))));
    if (!(max >= kActTiny && max_bits < 0x7f800000u)) {
      scale[b] = max_bits < 0x7f800000u ? 0.0f : __builtin_nanf("");
      sum[0] = sum[1] = 0;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
      continue;
    }
    scale[b] = max / 127.0f;
    const __m512 inverse = _mm512_set1_ps(127.0f / max);
    for (int h = 0; h < 2; ++h) {
      const __m128i bytes =
          _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(half[h], inverse)));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + 16 * h), bytes);
      // Sums of eight bytes are instructions for unsigned ones: add 128 to each, subtract it again.
      const __m128i sums =
          _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());
      sum[h] =
          static_cast<int16_t>(_mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128);
    }
  }
}

constexpr LinearKernels kKernels = {
    .quantize_row = QuantizeRow,
    .f32 = pack::Kernel<float>(false, MultiplyF32, AccumulateF32),
    .f16 = pack::Kernel<pack::F16>(false, MultiplyF16, AccumulateF16),
    .bf16 = pack::Kernel<pack::BF16>(false, MultiplyBF16, AccumulateBF16),
    .q8_0 = pack::Kernel<BlockQ8_0>(true, MultiplyQ8_0),
    .q4_0 = pack::Kernel<BlockQ4_0>(true, MultiplyQ4_0),
    .q5_0 = pack::Kernel<BlockQ5_0>(true, MultiplyQ5_0),
    .q4_k = pack::Kernel<BlockQ4_K>(true, MultiplyQ4_K),
    .q5_k = pack::Kernel<BlockQ5_K>(true, MultiplyQ5_K),
    .q6_k = pack::Kernel<BlockQ6_K>(true, MultiplyQ6_K),
};

}  // namespace

const LinearKernels& Linear() { return kKernels; }

}  // namespace minnow::cpu::avx512vnni
