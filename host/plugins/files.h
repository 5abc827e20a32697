// What the loader asks of files that others may replace, cut or fill while it looks. Threads: any.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace minnow::plugins {

// A regular file open for reading. Never waits for the other end of a FIFO; reads instead of maps,
// since a mapped file that shrinks kills its reader.
class OpenFile {
 public:
  static Result<OpenFile> Open(const std::string& path);
  OpenFile(OpenFile&& other) noexcept;
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile();

  const struct stat& stat() const { return stat_; }
  // At most max_bytes of what is left.
  Result<std::string> Read(size_t max_bytes) const;
  // Of what is left, in lower-case hex.
  Result<std::string> Sha256() const;

 private:
  OpenFile() = default;
  Result<size_t> ReadSome(char* to, size_t n) const;  // 0 at the end

  std::string path_;
  int fd_ = -1;
  struct stat stat_ = {};
};

// Which file a path names, and in which version: an equal stamp means the same bytes. The change
// time is part of it since packages and `cp -p` set the modification time as they like.
struct FileStamp {
  uint64_t inode = 0, size = 0;
  int64_t modified_ns = 0, changed_ns = 0;

  static Result<FileStamp> Of(const std::string& path);
  bool operator==(const FileStamp&) const = default;
  std::string Text() const;
};

}  // namespace minnow::plugins
