// Writes a GGUF v3 file: metadata in the order set, then tensors in the order added.
//
// Metadata is copied; tensor bytes are only borrowed until Write returns, so that a tool can write
// a model from a mapping without holding it twice. general.alignment is honoured when set. Threads:
// one at a time.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"

namespace minnow::formats {

class GgufWriter {
 public:
  // Each replaces an earlier value of the same key.
  void SetU32(std::string_view key, uint32_t value);
  void SetI32(std::string_view key, int32_t value);
  void SetU64(std::string_view key, uint64_t value);
  void SetF32(std::string_view key, float value);
  void SetBool(std::string_view key, bool value);
  void SetString(std::string_view key, std::string_view value);
  void SetStrings(std::string_view key, const std::vector<std::string>& values);
  void SetF32s(std::string_view key, const std::vector<float>& values);
  void SetI32s(std::string_view key, const std::vector<int32_t>& values);
  void Set(const GgufEntry& entry);  // from a reader, or of any other type

  void AddTensor(std::string_view name, mnw_type type, std::vector<int64_t> ne,
                 std::span<const std::byte> bytes);

  // Writes beside `path` and renames: a file of that name is complete or is the one from before.
  // Fails when a key or tensor is one that the reader would refuse, or when the bytes do not fit
  // the shape.
  Status Write(const std::string& path) const;

 private:
  struct Entry {
    std::string key;
    std::string encoded;  // type, and for an array element type and count, then the value
  };
  struct Tensor {
    std::string name;
    mnw_type type;
    std::vector<int64_t> ne;
    std::span<const std::byte> bytes;
  };

  const Entry* Find(std::string_view key) const;
  Result<uint64_t> Alignment() const;
  Status Check() const;
  std::string EncodeHeader(uint64_t alignment) const;

  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
};

}  // namespace minnow::formats
