// A read-only memory mapping of a whole regular file.
//
// Open refuses FIFOs, devices, sockets and directories, so that a path given by a user can neither
// block nor read without end. Release gives clean pages back to the system once a backend owns a
// copy. A file that shrinks while it is mapped cannot be read any more: CheckUnchanged tells before
// a use, mapping_fault.h is for the rest.
// Threads: immutable after Open; Release may run beside readers (the pages come back from the
// file).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"

struct stat;

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

  // kCorrupt when the file is not as it was when it was opened: cut, grown, written to, or another
  // one by now.
  Status CheckUnchanged() const;

  // Drops the resident pages that lie wholly inside `part`, which must be inside bytes().
  void Release(std::span<const std::byte> part) const;

 private:
  // What a change of the file's content or a replacement changes.
  struct Identity {
    uint64_t device, inode, size;
    int64_t seconds, nanoseconds;  // of the last write
    bool operator==(const Identity&) const = default;
  };
  static Identity IdentityOf(const struct stat& st);

  MappedFile() = default;

  std::string path_;
  Identity identity_{};
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace minnow
