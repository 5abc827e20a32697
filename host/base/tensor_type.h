// The tensor types of the plugin contract (minnow/abi/types.def) as a table: names and block sizes.
// Threads: constant data.
#pragma once

#include <minnow/abi/base.h>

#include <cstdint>
#include <span>

namespace minnow {

struct TypeTraits {
  mnw_type type;
  const char* name;
  int64_t block_elements;
  int64_t block_bytes;
};

std::span<const TypeTraits> TensorTypes();  // in the order of types.def

// The type of this id, or null. Wide enough that an id read from a file needs no cast before it.
const TypeTraits* FindType(int64_t id);

// REQUIRES: a type of the table, n a multiple of its block_elements.
int64_t RowBytes(mnw_type type, int64_t n);

}  // namespace minnow
