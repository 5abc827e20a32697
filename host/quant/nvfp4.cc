// NVFP4: 64 values in E2M1, a scale in E4M3 per 16.
#include <cmath>

#include "quant/codec.h"
#include "quant/sixteen_values.h"

namespace minnow::quant {
namespace {

// E4M3(d[i / 16]) * E2M1(q_i). Each 16 elements have 8 bytes: low nibbles, then high ones.
struct Block {
  uint8_t d[4];
  uint8_t qs[32];
};

// Half of the scale, since the values are doubled. Its sign bit is unused; 127, a NaN elsewhere, is
// zero to readers of GGUF.
float HalfScale(uint8_t e4m3) {
  if (e4m3 == 0x7f) return 0;
  const int exponent = e4m3 >> 3 & 15, mantissa = e4m3 & 7;
  return exponent == 0 ? std::ldexp(mantissa, -10) : std::ldexp(8 + mantissa, exponent - 11);
}

void Decode(const Block& block, float* x) {
  for (int j = 0; j < 4; ++j) {
    PutNibbles(kE2M1Values, block.qs + 8 * j, 8, HalfScale(block.d[j]), x + 16 * j);
  }
}

}  // namespace

const Codec kCodec_NVFP4 = BlockDecoder<Block, 64, Decode>();

}  // namespace minnow::quant
