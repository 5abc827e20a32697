// GGUF v2 and v3, little-endian: a model file as metadata and tensors, read in place.
//
// Open checks everything once: each count and length against the bytes that are left before
// anything is allocated, each tensor's size with overflow checks and against the end of the file.
// What it hands out are views into the mapping, which live as long as the reader (or what it was
// moved into). Strings are bytes: tokens need not be UTF-8. Big-endian files are refused.
//
// A model may be split over several files: NAME-00001-of-00003.gguf and so on, told apart by their
// keys split.no, split.count and split.tensors.count. Any part opens the whole: the metadata of the
// first part and the tensors of all. Parts that are missing, double, of another split or of another
// model are refused by name. Threads: immutable after Open.
#pragma once

#include <minnow/abi/base.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"

namespace minnow::formats {

// Metadata value types; the numbers are the file's.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

struct GgufEntry {
  std::string_view key;
  bool is_array;
  GgufType type;                     // of the value, or of an array's elements; never kArray
  uint64_t count;                    // 1 for a scalar
  std::span<const std::byte> value;  // as stored, after the type and the count
};

struct GgufTensor {
  std::string_view name;
  mnw_type type;
  int n_dims;                 // 1 to 4
  std::array<int64_t, 4> ne;  // ne[0] is contiguous; those from n_dims on are 1
  std::span<const std::byte> data;
};

// One line for a person: long strings and arrays are shortened, control characters escaped.
std::string GgufValueText(const GgufEntry& entry);

// Which part of a split model a file of this name is, counting from 1; 0 if its name is none of a
// part. `stem`, if not null, becomes the name without "-00001-of-00003.gguf".
int GgufPartOfName(std::string_view name, std::string* stem = nullptr);

class GgufReader {
 public:
  static Result<GgufReader> Open(const std::string& path);

  uint32_t version() const { return version_; }
  const std::string& path() const { return files_.front().path(); }
  std::span<const MappedFile> files() const { return files_; }  // the parts in order, mostly one
  Status CheckUnchanged() const;  // kCorrupt when a file is not as it was at Open
  // Gives the clean pages of a tensor's data back to the system.
  void Release(std::span<const std::byte> data) const;

  std::span<const GgufEntry> metadata() const { return metadata_; }  // in file order
  std::span<const GgufTensor> tensors() const { return tensors_; }   // in file order
  const GgufEntry* Find(std::string_view key) const;                 // null when absent
  const GgufTensor* FindTensor(std::string_view name) const;         // null when absent

  // Typed values: nullopt when the key is absent; a failure that names the key when its value is of
  // another type. Integers of any width are taken where they fit, floats of either width.
  Result<std::optional<uint64_t>> FindU64(std::string_view key) const;
  Result<std::optional<int64_t>> FindI64(std::string_view key) const;
  Result<std::optional<double>> FindF64(std::string_view key) const;
  Result<std::optional<bool>> FindBool(std::string_view key) const;
  Result<std::optional<std::string_view>> FindString(std::string_view key) const;

  // The same for arrays. FindBytes: an array of u8 or i8, as it lies in the file.
  Result<std::optional<std::vector<uint32_t>>> FindU32s(std::string_view key) const;
  Result<std::optional<std::vector<int32_t>>> FindI32s(std::string_view key) const;
  Result<std::optional<std::vector<float>>> FindF32s(std::string_view key) const;
  Result<std::optional<std::vector<bool>>> FindBools(std::string_view key) const;
  Result<std::optional<std::vector<std::string_view>>> FindStrings(std::string_view key) const;
  Result<std::optional<std::span<const std::byte>>> FindBytes(std::string_view key) const;

 private:
  friend class GgufParser;
  friend class GgufJoiner;
  explicit GgufReader(MappedFile file) { files_.push_back(std::move(file)); }
  static Result<GgufReader> OpenPart(const std::string& path);  // one file, split or not

  std::vector<MappedFile> files_;
  uint32_t version_ = 0;
  std::vector<GgufEntry> metadata_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string_view, size_t> entry_index_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

}  // namespace minnow::formats
