// The table of the AVX2 level, and the quantization of activations.
#include "kernels/linear.h"

#include <immintrin.h>

#include "kernels/avx2/linear_formats.h"
#include "kernels/linear_pack.h"

namespace minnow::cpu::avx2 {
namespace {

// x[k] -> q, scale, sum, as in ref.
void QuantizeRow(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  for (int64_t b = 0; b < k / kActBlock; ++b, x += kActBlock, q += kActBlock, sum += 2) {
    __m256 part[4];
    __m256i most = _mm256_setzero_si256();  // as integers, |NaN| > infinity > every number
    for (int i = 0; i < 4; ++i) {
      part[i] = _mm256_loadu_ps(x + 8 * i);
      most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(part[i]), magnitude));
    }
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
    const float max = _mm_cvtss_f32(_mm_castsi128_ps(m));
    const bool finite = _mm_cvtsi128_si32(m) < 0x7f800000;
    if (!(max >= kActTiny && finite)) {
      scale[b] = finite ? 0.0f : __builtin_nanf("");
      sum[0] = sum[1] = 0;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(q), _mm256_setzero_si256());
      continue;
    }
    scale[b] = max / 127.0f;
    const __m256 inverse = _mm256_set1_ps(127.0f / max);
    for (int h = 0; h < 2; ++h) {
      const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(part[2 * h], inverse));
      const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(part[2 * h + 1], inverse));
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
      const __m128i bytes =
          _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
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

}  // namespace minnow::cpu::avx2
