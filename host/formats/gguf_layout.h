// What reader, writer and printer of GGUF share: constants of the layout, sizes, and a cursor that
// cannot leave its bytes. Internal to this folder. Threads: values and pure functions.
#pragma once

#include <bit>
#include <cstring>

#include "base/status.h"
#include "formats/gguf.h"

namespace minnow::formats {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place");

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr uint64_t kDefaultAlignment = 32;
inline constexpr size_t kMaxKeyBytes = 65535;      // the specification's limit
inline constexpr size_t kMaxTensorNameBytes = 63;  // what all readers accept
inline constexpr uint64_t kMaxEntries = 1 << 20;   // these three bound the time and memory
inline constexpr uint64_t kMaxTensors = 1 << 20;   // that a hostile file can take
inline constexpr uint64_t kMaxArrayElements = 1 << 24;

struct GgufTypeTraits {
  const char* name;
  size_t bytes;  // of a scalar; 0 for strings and arrays
};
const GgufTypeTraits* FindGgufType(uint32_t type);  // null when unknown

Status CheckAlignment(uint64_t alignment);
Status CheckTensorName(std::string_view name);

// Bytes of a tensor's data, or why no tensor can be like that.
Result<uint64_t> TensorBytes(std::string_view name, uint32_t type, std::span<const int64_t> ne);

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  std::span<const std::byte> Since(size_t begin) const {
    return bytes_.subspan(begin, position_ - begin);
  }

  // Each returns false, and stays where it is, when fewer bytes are left than it needs.
  template <class T>
  bool Read(T* value) {
    if (remaining() < sizeof(T)) return false;
    *value = Load<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return true;
  }
  bool Skip(uint64_t n) {
    if (remaining() < n) return false;
    position_ += n;
    return true;
  }
  bool ReadString(std::string_view* value) {
    uint64_t length;
    if (!Read(&length)) return false;
    if (remaining() < length) {
      position_ -= sizeof length;
      return false;
    }
    *value = {reinterpret_cast<const char*>(bytes_.data()) + position_, length};
    position_ += length;
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
};

}  // namespace minnow::formats
