// The level of CPUs with the dot product of Armv8.2; all else is that of `neon`.
#include "kernels/neon/linear_table.h"

namespace minnow::cpu::neondot {

const LinearKernels& Linear() { return kKernels; }

}  // namespace minnow::cpu::neondot
