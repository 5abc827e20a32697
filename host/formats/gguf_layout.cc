#include "formats/gguf_layout.h"

#include "base/tensor_type.h"

namespace minnow::formats {
namespace {

constexpr GgufTypeTraits kValueTypes[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

// Types that other tools write and this build does not read, so that a refusal can name them.
const char* UnreadTypeName(uint32_t type) {
  switch (type) {
    case 3: return "Q4_1";
    case 7: return "Q5_1";
    case 9: return "Q8_1";
    case 10: return "Q2_K";
    case 11: return "Q3_K";
    case 15: return "Q8_K";
    case 16: return "IQ2_XXS";
    case 17: return "IQ2_XS";
    case 18: return "IQ3_XXS";
    case 19: return "IQ1_S";
    case 20: return "IQ4_NL";
    case 21: return "IQ3_S";
    case 22: return "IQ2_S";
    case 23: return "IQ4_XS";
    case 24: return "I8";
    case 25: return "I16";
    case 27: return "I64";
    case 28: return "F64";
    case 29: return "IQ1_M";
    case 34: return "TQ1_0";
    case 35: return "TQ2_0";
    case 39: return "MXFP4";
    default: return "unknown";
  }
}

}  // namespace

const GgufTypeTraits* FindGgufType(uint32_t type) {
  return type < std::size(kValueTypes) ? &kValueTypes[type] : nullptr;
}

Status CheckAlignment(uint64_t alignment) {
  if (std::has_single_bit(alignment) && alignment >= 8 && alignment <= 1 << 20) return {};
  return Error(Code::kCorrupt, "general.alignment is {}, expected a power of two from 8 to 1048576",
               alignment);
}

Result<uint64_t> TensorBytes(uint32_t type, std::span<const int64_t> ne) {
  const TypeTraits* traits = FindType(type);
  if (!traits) {
    return Error(Code::kUnsupported,
                 "has type {} ({}), which this build does not read; use a file quantized to another "
                 "type, such as Q8_0 or Q4_K",
                 type, UnreadTypeName(type));
  }
  if (ne.size() > 4) return Error(Code::kCorrupt, "has {} dimensions, expected 1 to 4", ne.size());
  for (const int64_t n : ne) {
    if (n <= 0) return Error(Code::kCorrupt, "has a dimension of {}", n);
  }
  if (ne[0] % traits->block_elements != 0) {
    return Error(Code::kCorrupt, "has rows of {} elements, not a multiple of {}'s block of {}",
                 ne[0], traits->name, traits->block_elements);
  }
  // Elements are counted too: a 4-bit tensor may fit in 64 bits of bytes and not of elements.
  int64_t elements = 1;
  int64_t bytes = traits->block_bytes;
  bool overflow = __builtin_mul_overflow(bytes, ne[0] / traits->block_elements, &bytes);
  for (const int64_t n : ne) overflow |= __builtin_mul_overflow(elements, n, &elements);
  for (const int64_t n : ne.subspan(1)) overflow |= __builtin_mul_overflow(bytes, n, &bytes);
  if (overflow) return Error(Code::kCorrupt, "has dimensions whose product exceeds 2^63");
  return static_cast<uint64_t>(bytes);
}

}  // namespace minnow::formats
