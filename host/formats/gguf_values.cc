// Typed access to metadata values, and their text.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "formats/gguf.h"
#include "formats/gguf_layout.h"
#include "formats/printable.h"

namespace minnow::formats {
namespace {

std::string TypeText(const GgufEntry& entry) {
  const char* name = FindGgufType(static_cast<uint32_t>(entry.type))->name;
  return entry.is_array ? fmt::format("an array of {}", name) : std::string(name);
}

Status WrongType(const GgufEntry& entry, std::string_view expected) {
  return Error(Code::kCorrupt, "metadata '{}' holds {}, expected {}", Printable(entry.key),
               TypeText(entry), expected);
}

// Calls visit(element) with each number in its stored type; false if the entry holds no numbers.
template <class Visit>
bool VisitNumbers(const GgufEntry& entry, Visit visit) {
  const auto each = [&]<class T>(T) {
    for (uint64_t i = 0; i < entry.count; ++i) visit(Load<T>(entry.value.data() + i * sizeof(T)));
    return true;
  };
  switch (entry.type) {
    case GgufType::kU8:
      return each(uint8_t{});
    case GgufType::kI8:
      return each(int8_t{});
    case GgufType::kU16:
      return each(uint16_t{});
    case GgufType::kI16:
      return each(int16_t{});
    case GgufType::kU32:
      return each(uint32_t{});
    case GgufType::kI32:
      return each(int32_t{});
    case GgufType::kU64:
      return each(uint64_t{});
    case GgufType::kI64:
      return each(int64_t{});
    case GgufType::kF32:
      return each(float{});
    case GgufType::kF64:
      return each(double{});
    case GgufType::kBool:
    case GgufType::kString:
    case GgufType::kArray:
      break;
  }
  return false;
}

// All elements as T, which is an integer or a floating type and takes only numbers of its kind.
template <class T>
Result<std::vector<T>> Numbers(const GgufEntry& entry, std::string_view expected) {
  std::vector<T> out;
  out.reserve(entry.count);
  bool right_kind = true;
  std::string misfit;
  const auto take = [&]<class V>(V value) {
    if constexpr (std::is_integral_v<V> != std::is_integral_v<T>) {
      right_kind = false;
    } else if constexpr (std::is_integral_v<T>) {
      if (!std::in_range<T>(value)) misfit = std::to_string(value);
      out.push_back(static_cast<T>(value));
    } else {
      out.push_back(static_cast<T>(value));
    }
  };
  if (!VisitNumbers(entry, take) || !right_kind) return WrongType(entry, expected);
  if (!misfit.empty()) {
    return Error(Code::kCorrupt, "metadata '{}' holds {}, which does not fit {}",
                 Printable(entry.key), misfit, expected);
  }
  return out;
}

template <class T>
Result<std::optional<T>> Scalar(const GgufEntry* entry, std::string_view expected) {
  if (!entry) return std::optional<T>();
  if (entry->is_array) return WrongType(*entry, expected);
  MNW_ASSIGN(const std::vector<T> one, Numbers<T>(*entry, expected));
  return std::optional<T>(one[0]);
}

template <class T>
Result<std::optional<std::vector<T>>> Array(const GgufEntry* entry, std::string_view expected) {
  if (!entry) return std::optional<std::vector<T>>();
  if (!entry->is_array) return WrongType(*entry, expected);
  MNW_ASSIGN(std::vector<T> all, Numbers<T>(*entry, expected));
  return std::optional<std::vector<T>>(std::move(all));
}

bool Is(const GgufEntry& entry, bool is_array, GgufType type) {
  return entry.is_array == is_array && entry.type == type;
}

// Open has checked the strings once. They are checked again, since the file beneath the mapping may
// have been overwritten: a string that no longer fits ends the list.
template <class Visit>
bool VisitStrings(const GgufEntry& entry, uint64_t count, Visit visit) {
  ByteCursor cursor(entry.value);
  std::string_view s;
  for (uint64_t i = 0; i < count; ++i) {
    if (!cursor.ReadString(&s)) return false;
    visit(s);
  }
  return true;
}

Status Changed(const GgufEntry& entry) {
  return Error(Code::kCorrupt, "metadata '{}' changed while the file was open",
               Printable(entry.key));
}

}  // namespace

Result<std::optional<uint64_t>> GgufReader::FindU64(std::string_view key) const {
  return Scalar<uint64_t>(Find(key), "an unsigned integer");
}

Result<std::optional<int64_t>> GgufReader::FindI64(std::string_view key) const {
  return Scalar<int64_t>(Find(key), "an integer");
}

Result<std::optional<double>> GgufReader::FindF64(std::string_view key) const {
  return Scalar<double>(Find(key), "a float");
}

Result<std::optional<std::vector<uint32_t>>> GgufReader::FindU32s(std::string_view key) const {
  return Array<uint32_t>(Find(key), "an array of u32");
}

Result<std::optional<std::vector<int32_t>>> GgufReader::FindI32s(std::string_view key) const {
  return Array<int32_t>(Find(key), "an array of i32");
}

Result<std::optional<std::vector<float>>> GgufReader::FindF32s(std::string_view key) const {
  return Array<float>(Find(key), "an array of f32");
}

Result<std::optional<bool>> GgufReader::FindBool(std::string_view key) const {
  const GgufEntry* entry = Find(key);
  if (!entry) return std::optional<bool>();
  if (!Is(*entry, false, GgufType::kBool)) return WrongType(*entry, "a bool");
  return std::optional<bool>(entry->value[0] != std::byte{0});
}

Result<std::optional<std::vector<bool>>> GgufReader::FindBools(std::string_view key) const {
  const GgufEntry* entry = Find(key);
  if (!entry) return std::optional<std::vector<bool>>();
  if (!Is(*entry, true, GgufType::kBool)) return WrongType(*entry, "an array of bool");
  std::vector<bool> out;
  for (const std::byte b : entry->value) out.push_back(b != std::byte{0});
  return std::optional<std::vector<bool>>(std::move(out));
}

Result<std::optional<std::string_view>> GgufReader::FindString(std::string_view key) const {
  const GgufEntry* entry = Find(key);
  if (!entry) return std::optional<std::string_view>();
  if (!Is(*entry, false, GgufType::kString)) return WrongType(*entry, "a string");
  std::string_view out;
  if (!VisitStrings(*entry, 1, [&](std::string_view s) { out = s; })) return Changed(*entry);
  return std::optional<std::string_view>(out);
}

Result<std::optional<std::vector<std::string_view>>> GgufReader::FindStrings(
    std::string_view key) const {
  const GgufEntry* entry = Find(key);
  if (!entry) return std::optional<std::vector<std::string_view>>();
  if (!Is(*entry, true, GgufType::kString)) return WrongType(*entry, "an array of string");
  std::vector<std::string_view> out;
  out.reserve(entry->count);
  const auto take = [&](std::string_view s) { out.push_back(s); };
  if (!VisitStrings(*entry, entry->count, take)) return Changed(*entry);
  return std::optional<std::vector<std::string_view>>(std::move(out));
}

Result<std::optional<std::span<const std::byte>>> GgufReader::FindBytes(
    std::string_view key) const {
  const GgufEntry* entry = Find(key);
  if (!entry) return std::optional<std::span<const std::byte>>();
  if (!Is(*entry, true, GgufType::kU8) && !Is(*entry, true, GgufType::kI8)) {
    return WrongType(*entry, "an array of u8");
  }
  return std::optional<std::span<const std::byte>>(entry->value);
}

std::string GgufValueText(const GgufEntry& entry) {
  constexpr uint64_t kShown = 6;
  GgufEntry shown = entry;
  shown.count = std::min(entry.count, kShown);
  const size_t max_string = entry.is_array ? 24 : 96;
  std::vector<std::string> parts;
  if (entry.type == GgufType::kString) {
    VisitStrings(entry, shown.count, [&](std::string_view s) {
      parts.push_back(fmt::format("\"{}\"", Printable(s, max_string)));
    });
  } else if (entry.type == GgufType::kBool) {
    for (uint64_t i = 0; i < shown.count; ++i) {
      parts.push_back(entry.value[i] != std::byte{0} ? "true" : "false");
    }
  } else {
    VisitNumbers(shown, [&](auto number) { parts.push_back(fmt::format("{}", number)); });
  }
  if (!entry.is_array) return fmt::format("{}", fmt::join(parts, ""));
  if (entry.count > shown.count) parts.push_back("...");
  return fmt::format("[{}] ({})", fmt::join(parts, ", "), entry.count);
}

}  // namespace minnow::formats
