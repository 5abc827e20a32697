// TQ1_0: 256 values of -1, 0 and 1 under one scale, five to a byte.
#include <minnow/sdk/half.h>

#include "quant/codec.h"

namespace minnow::quant {
namespace {

// d * (q_i - 1). A byte is the fraction 0.q_0 q_1 q_2 ... to base three, times 256: multiplying it
// by 3^p modulo 256 and then by 3 gives q_p above the point. The bytes of a row of `qs` give five
// rows of elements: 32 bytes elements 0..159, then 16 bytes 160..239; the four of qh four rows.
struct Block {
  uint8_t qs[48];
  uint8_t qh[4];
  uint16_t d;
};

float* PutRows(const uint8_t* bytes, int n, int rows, float d, float* x) {
  uint8_t power = 1;
  for (int p = 0; p < rows; ++p, power *= 3) {
    for (int i = 0; i < n; ++i) {
      const auto fraction = static_cast<uint8_t>(bytes[i] * power);
      *x++ = d * ((fraction * 3 >> 8) - 1);
    }
  }
  return x;
}

void Decode(const Block& block, float* x) {
  const float d = F16ToF32(block.d);
  x = PutRows(block.qs, 32, 5, d, x);
  x = PutRows(block.qs + 32, 16, 5, d, x);
  PutRows(block.qh, 4, 4, d, x);
}

}  // namespace

const Codec kCodec_TQ1_0 = BlockDecoder<Block, 256, Decode>();

}  // namespace minnow::quant
