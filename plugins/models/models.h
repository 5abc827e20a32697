// The architectures of this plugin, one file each; plugin.cc lists them.
#pragma once

#include <minnow/abi/arch.h>

namespace minnow::models {

extern const mnw_arch kLlama, kQwen2, kPhi3, kGemma2, kMamba2, kBert;

}  // namespace minnow::models
