// The numeric meaning of every tensor type: to and from f32, plainly and exactly.
//
// These are the reference that kernels are measured against and the host's fallback for backends
// that lack a type; a backend's fast path is its own. ToF32 multiplies in the order the formats
// define, so its bits are those of other implementations of GGUF. FromF32 for Q8_0, Q4_0, Q5_0, F16
// and BF16 gives the customary bytes; for Q4_K, Q5_K and Q6_K it searches scales, which is its own
// work; the other types are not written. Threads: pure functions.
#pragma once

#include <minnow/abi/base.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"

namespace minnow::quant {

// src must hold exactly the blocks of dst.size() elements; any alignment. Scales that are not
// finite are decoded as they stand.
Status ToF32(mnw_type type, std::span<const std::byte> src, std::span<float> dst);

// The opposite. Values that are not finite, or too large for the type's F16 scales, are refused,
// except by F32, F16 and BF16, which can hold (or round to) infinity.
Status FromF32(mnw_type type, std::span<const float> src, std::span<std::byte> dst);

// ToF32 of one row for callers behind the plugin contract: false if the type is unknown, holds no
// reals, or n is not a multiple of its block.
bool DequantizeRow(uint32_t type, const void* src, float* dst, int64_t n) noexcept;

}  // namespace minnow::quant
