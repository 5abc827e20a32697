// A read-only memory mapping of a whole regular file.
//
// Open refuses FIFOs, devices and directories, so that a path given by a user can neither block nor
// read without end. Release gives clean pages back to the system once a backend owns a copy.
// Threads: immutable after Open; Release may run beside readers (the pages come back from the file).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

namespace minnow {

class MappedFile {
 public:
  static Result<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Drops the resident pages that lie wholly inside `part`, which must be inside bytes().
  void Release(std::span<const std::byte> part) const;

 private:
  MappedFile() = default;

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace minnow
