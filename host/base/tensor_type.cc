#include "base/tensor_type.h"

namespace minnow {
namespace {

constexpr TypeTraits kTypes[] = {
#define MNW_TYPE(name, id, block_elements, block_bytes) \
  {MNW_TYPE_##name, #name, block_elements, block_bytes},
#include <minnow/abi/types.def>
#undef MNW_TYPE
};

}  // namespace

std::span<const TypeTraits> TensorTypes() { return kTypes; }

const TypeTraits* FindType(int64_t id) {
  for (const TypeTraits& traits : kTypes) {
    if (traits.type == id) return &traits;
  }
  return nullptr;
}

int64_t RowBytes(mnw_type type, int64_t n) {
  const TypeTraits* traits = FindType(type);
  return n / traits->block_elements * traits->block_bytes;
}

}  // namespace minnow
