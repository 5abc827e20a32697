// The level of every 64-bit ARM: widening multiplications.
#include "kernels/neon/linear_table.h"

namespace minnow::cpu::neon {

const LinearKernels& Linear() { return kKernels; }

}  // namespace minnow::cpu::neon
