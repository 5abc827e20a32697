// The structs of hosts of other ages: what a plugin that was built with its own header may be
// handed. Threads: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "conformance/guarded.h"

namespace minnow::conformance {

// By whose header the structs are made that a plugin gets.
enum class HostAge {
  kSame,
  kNewer,  // structs and strides longer than the plugin knows, unknown fields filled
  kOlder,  // structs end before the fields that came last; nothing may be read behind them
};

inline constexpr size_t kNewFields = 40;    // bytes of them, of a newer host's structs
inline constexpr std::byte kUnknown{0xa7};  // what they hold

inline size_t SizeFor(HostAge age, size_t mine, size_t older) {
  return age == HostAge::kNewer ? mine + kNewFields : age == HostAge::kOlder ? older : mine;
}

// The bytes of `value`, a struct of which an older host knows the first `older` bytes.
template <class T>
Guarded HostStruct(T value, HostAge age, size_t older = sizeof(T)) {
  value.size = static_cast<uint32_t>(SizeFor(age, sizeof(T), older));
  std::vector<std::byte> bytes(value.size, kUnknown);
  std::memcpy(bytes.data(), &value, std::min(sizeof(T), bytes.size()));
  return Guarded(bytes);
}

// An array of growing structs. Bytes between them are no zeros either.
template <class T>
Guarded HostArray(std::span<const T> values, HostAge age, uint32_t* stride) {
  *stride = static_cast<uint32_t>(SizeFor(age, sizeof(T), sizeof(T)));
  std::vector<std::byte> bytes(values.size() * *stride, kUnknown);
  for (size_t i = 0; i < values.size(); ++i) {
    T value = values[i];
    value.size = *stride;
    std::memcpy(bytes.data() + i * *stride, &value, sizeof value);
  }
  return Guarded(bytes);
}

}  // namespace minnow::conformance
