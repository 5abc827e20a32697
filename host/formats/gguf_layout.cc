#include "formats/gguf_layout.h"

#include "base/tensor_type.h"
#include "formats/printable.h"

namespace minnow::formats {
namespace {

constexpr GgufTypeTraits kValueTypes[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

// Types that other tools write and this build does not read, so that a refusal can name them.
constexpr struct {
  uint32_t id;
  const char* name;
} kUnreadTypes[] = {
    {9, "Q8_1"},      {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
    {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},   {33, "Q4_0_8_8"},   {41, "Q1_0"},
};

const char* UnreadTypeName(uint32_t type) {
  for (const auto& unread : kUnreadTypes) {
    if (unread.id == type) return unread.name;
  }
  return "unknown";
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

Status CheckTensorName(std::string_view name) {
  if (!name.empty() && name.size() <= kMaxTensorNameBytes &&
      name.find('\0') == std::string_view::npos) {
    return {};
  }
  return Error(Code::kCorrupt, "tensor name '{}' has {} bytes, expected 1 to {} and no NUL",
               Printable(name), name.size(), kMaxTensorNameBytes);
}

Result<uint64_t> TensorBytes(std::string_view name, uint32_t type, std::span<const int64_t> ne) {
  const auto corrupt = [name](const std::string& what) {
    return Error(Code::kCorrupt, "tensor '{}' has {}", Printable(name), what);
  };
  if (ne.empty() || ne.size() > 4) {
    return corrupt(fmt::format("{} dimensions, expected 1 to 4", ne.size()));
  }
  const TypeTraits* traits = FindType(type);
  if (!traits) {
    return Error(
        Code::kUnsupported,
        "tensor '{}' has type {} ({}), which this build does not read; use a file quantized "
        "to another type, such as Q8_0 or Q4_K",
        Printable(name), type, UnreadTypeName(type));
  }
  for (const int64_t n : ne) {
    if (n <= 0) return corrupt(fmt::format("a dimension of {}", n));
  }
  if (ne[0] % traits->block_elements != 0) {
    return corrupt(fmt::format("rows of {} elements, not a multiple of {}'s block of {}", ne[0],
                               traits->name, traits->block_elements));
  }
  // Elements are counted too: bytes may fit in 63 bits where the elements of a 4-bit type do not.
  int64_t elements = 1;
  bool overflow = false;
  for (const int64_t n : ne) overflow |= __builtin_mul_overflow(elements, n, &elements);
  int64_t bytes = 0;
  overflow |=
      __builtin_mul_overflow(elements / traits->block_elements, traits->block_bytes, &bytes);
  if (overflow) return corrupt("dimensions whose product exceeds 63 bits");
  return static_cast<uint64_t>(bytes);
}

}  // namespace minnow::formats
