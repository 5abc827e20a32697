// What Q4_K and Q5_K share: eight sub-blocks of 32 with 6-bit scales and minima under two F16s.
// Internal to this folder. Threads: pure functions.
#pragma once

#include <cstdint>

namespace minnow::quant {

// The packing of `scales` is described in minnow/sdk/blocks.h.
struct SubScales {
  uint8_t scale[8];
  uint8_t min[8];
};
SubScales UnpackSubScales(const uint8_t packed[12]);
void PackSubScales(const SubScales& sub, uint8_t packed[12]);

// The fields of a block of 256 but for the packing of the codes q[256], which are 0..q_max. False
// when the scales exceed F16.
struct AffineBlock {
  uint16_t d;
  uint16_t dmin;
  uint8_t scales[12];
  uint8_t q[256];
};
bool EncodeAffineBlock(const float* x, int q_max, AffineBlock* block);

}  // namespace minnow::quant
