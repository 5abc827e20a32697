// safetensors: tensors by name, in one file or in the shards that an index lists, read in place.
//
// Files are untrusted. Parse checks the header once: its length against the file, its JSON as it is
// read (no document is ever built from it), each tensor's bytes against its shape with overflow
// checks, and that the tensors cover the data once: no overlap, no hole, nothing past the end. What
// is handed out are views into the mapping. Threads: immutable after Open.
#pragma once

#include <minnow/abi/base.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/status.h"

namespace minnow::formats {

struct SafetensorsTensor {
  std::string name;
  mnw_type type;                 // MNW_TYPE_NONE: of bools or of unsigned integers
  int n_dims;                    // 0 to 4
  std::array<int64_t, 4> shape;  // the last of n_dims is contiguous; those from n_dims on are 1
  std::span<const std::byte> data;
};

class SafetensorsReader {
 public:
  // The tensors of a file's bytes, by place.
  static Result<std::vector<SafetensorsTensor>> Parse(std::span<const std::byte> file);

  static Result<SafetensorsReader> Open(const std::string& path);
  // model.safetensors of a folder, or the shards of its model.safetensors.index.json: only files of
  // that folder, each tensor once and where the index says.
  static Result<std::vector<SafetensorsReader>> OpenFolder(const std::string& folder);

  const MappedFile& file() const { return file_; }
  std::span<const SafetensorsTensor> tensors() const { return tensors_; }  // by place

 private:
  SafetensorsReader(MappedFile file, std::vector<SafetensorsTensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  MappedFile file_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace minnow::formats
