#include "kernels/linear.h"

namespace minnow::cpu::avx2 {
const LinearKernels& Linear() { return ref::Linear(); }
}  // namespace minnow::cpu::avx2
