// x[k] -> q, scale, sum, as in ref.
#include <arm_neon.h>

#include "kernels/neon/linear_formats.h"

namespace minnow::cpu::neon {

void QuantizeRow(const float* x, int64_t k, int8_t* q, float* scale, int16_t* sum) {
  for (int64_t b = 0; b < k / kActBlock; ++b, x += kActBlock, q += kActBlock, sum += 2) {
    float32x4_t part[8];
    uint32x4_t most = vdupq_n_u32(0);  // as integers, |NaN| > infinity > every number
    for (int i = 0; i < 8; ++i) {
      part[i] = vld1q_f32(x + 4 * i);
      most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(part[i])));
    }
    const uint32_t max_bits = vmaxvq_u32(most);
    const float max = vget_lane_f32(vreinterpret_f32_u32(vdup_n_u32(max_bits)), 0);
    const bool finite = max_bits < 0x7f800000u;
    if (!(max >= kActTiny && finite)) {
      scale[b] = finite ? 0.0f : __builtin_nanf("");
      sum[0] = sum[1] = 0;
      vst1q_s8(q, vdupq_n_s8(0));
      vst1q_s8(q + 16, vdupq_n_s8(0));
      continue;
    }
    scale[b] = max / 127.0f;
    const float32x4_t inverse = vdupq_n_f32(127.0f / max);
    for (int h = 0; h < 2; ++h) {
      int16x4_t words[4];
      for (int i = 0; i < 4; ++i) {
        words[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_f32(part[4 * h + i], inverse)));
      }
      const int8x16_t bytes = vcombine_s8(vmovn_s16(vcombine_s16(words[0], words[1])),
                                          vmovn_s16(vcombine_s16(words[2], words[3])));
      vst1q_s8(q + 16 * h, bytes);
      sum[h] = vaddlvq_s8(bytes);
    }
  }
}

}  // namespace minnow::cpu::neon
