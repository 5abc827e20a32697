// How far a result may lie from the reference's. Threads: values.
#pragma once

#include <minnow/abi/graph.h>

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace minnow::conformance {

// One of three: equal bits; |got - want| <= abs + rel |want| for each element; or, for sums of
// quantized products, the sum of squared errors over the sum of squares of an output, no element
// further off than eight times what that allows on average.
struct Bound {
  enum class Kind { kBits, kClose, kNmse };
  Kind kind = Kind::kBits;
  double abs = 0, rel = 0, nmse = 0;
};
constexpr Bound Bits() { return {}; }
constexpr Bound Close(double abs, double rel) { return {Bound::Kind::kClose, abs, rel, 0}; }
constexpr Bound Nmse(double nmse) { return {Bound::Kind::kNmse, 0, 0, nmse}; }

// `v` tells type and row length. NaN is wanted exactly where the reference has it. What is no f32
// is compared by bits.
Status Compare(const mnw_value& v, std::span<const std::byte> want, std::span<const std::byte> got,
               const Bound& bound);

// Ok if all bits agree; any NaN equals any NaN.
Status CompareBits(const mnw_value& v, std::span<const std::byte> want,
                   std::span<const std::byte> got);

}  // namespace minnow::conformance
