#include "quant/quant.h"

#include <cmath>

#include "base/tensor_type.h"
#include "quant/codec.h"

namespace minnow::quant {
namespace {

const Codec* FindCodec(mnw_type type) {
  switch (type) {
#define MNW_TYPE(name, id, block_elements, block_bytes) \
  case MNW_TYPE_##name:                                 \
    return &kCodec_##name;
#include <minnow/abi/types.def>
#undef MNW_TYPE
    case MNW_TYPE_NONE:
      break;
  }
  return nullptr;
}

Status CheckCall(mnw_type type, size_t elements, size_t bytes) {
  const TypeTraits* traits = FindType(type);
  if (!traits) return Error(Code::kUnsupported, "unknown tensor type {}", static_cast<int>(type));
  if (!FindCodec(type)->decode) {
    return Error(Code::kUnsupported, "{} does not hold real numbers", traits->name);
  }
  if (elements % traits->block_elements != 0) {
    return Error(Code::kInvalid, "{} elements are not a multiple of {}'s block of {}", elements,
                 traits->name, traits->block_elements);
  }
  const size_t needed = RowBytes(type, elements);
  if (bytes == needed) return {};
  return Error(Code::kInvalid, "{} elements of {} take {} bytes, not {}", elements, traits->name,
               needed, bytes);
}

}  // namespace

Status ToF32(mnw_type type, std::span<const std::byte> src, std::span<float> dst) {
  MNW_TRY(CheckCall(type, dst.size(), src.size()));
  const int64_t blocks = dst.size() / FindType(type)->block_elements;
  FindCodec(type)->decode(src.data(), dst.data(), blocks);
  return {};
}

Status FromF32(mnw_type type, std::span<const float> src, std::span<std::byte> dst) {
  MNW_TRY(CheckCall(type, src.size(), dst.size()));
  const TypeTraits& traits = *FindType(type);
  if (!FindCodec(type)->encode) {
    return Error(Code::kUnsupported, "{} is read and not written; write Q8_0, Q4_K or another",
                 traits.name);
  }
  if (traits.block_elements > 1) {
    for (size_t i = 0; i < src.size(); ++i) {
      if (!std::isfinite(src[i])) {
        return Error(Code::kInvalid, "element {} is {}; {} holds only finite values", i, src[i],
                     traits.name);
      }
    }
  }
  const int64_t blocks = src.size() / traits.block_elements;
  const int64_t done = FindCodec(type)->encode(src.data(), dst.data(), blocks);
  if (done == blocks) return {};
  return Error(Code::kOutOfRange, "the {} elements from {} on are too large for the scales of {}",
               traits.block_elements, done * traits.block_elements, traits.name);
}

bool DequantizeRow(uint32_t type, const void* src, float* dst, int64_t n) noexcept {
  const TypeTraits* traits = FindType(type);
  if (!traits || n < 0 || n % traits->block_elements != 0) return false;
  const Codec* codec = FindCodec(traits->type);
  if (!codec->decode) return false;
  codec->decode(src, dst, n / traits->block_elements);
  return true;
}

}  // namespace minnow::quant
