#include "batch/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/crash_point.h"

namespace minnow::batch {

namespace {

constexpr size_t kBufferBytes = 1 << 16;
constexpr int kLevel = 6;

Status CannotWrite(int error) {
  return Error(Code::kExhausted, "cannot write the output: {}", std::strerror(error));
}

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  ~File() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  Status Append(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return CannotWrite(errno);
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return Status();
  }
  // A failed fsync is final: what the system then holds of the file is unknown.
  Status Sync() {
    if (::fsync(fd_) == 0 || errno == EINVAL || errno == EROFS) return Status();  // no file
    return CannotWrite(errno);
  }

 private:
  const int fd_;
};

class Plain final : public Output {
 public:
  Plain(int fd, const Position& from) : file_(fd), position_(from) {}

  Status Write(std::string_view record) override {
    buffer_ += record;
    position_.bytes += record.size();
    ++position_.records;
    return buffer_.size() >= kBufferBytes ? Flush() : Status();
  }
  Status Flush() override {
    MNW_TRY(file_.Append(buffer_));
    buffer_.clear();
    return Status();
  }
  Status Finish() override { return Flush(); }
  Result<Position> Sync() override {
    MNW_TRY(Flush());
    MNW_CRASH_POINT("batch.written");
    MNW_TRY(file_.Sync());
    MNW_CRASH_POINT("batch.synced");
    return position_;
  }

 private:
  File file_;
  std::string buffer_;
  Position position_;
};

class Compressed final : public Output {
 public:
  Compressed(int fd, const Position& from)
      : file_(fd), framed_(from), records_(from.records), context_(ZSTD_createCCtx()) {}

  Status Write(std::string_view record) override {
    frame_ += record;
    return ++records_ % kFrameRecords == 0 ? EndFrame() : Status();
  }
  Status Flush() override { return Status(); }
  Status Finish() override { return frame_.empty() ? Status() : EndFrame(); }
  Result<Position> Sync() override {
    MNW_CRASH_POINT("batch.written");
    MNW_TRY(file_.Sync());
    MNW_CRASH_POINT("batch.synced");
    return framed_;
  }

 private:
  struct Free {
    void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  };

  Status EndFrame() {
    std::string packed(ZSTD_compressBound(frame_.size()), '\0');
    const size_t n = ZSTD_compressCCtx(context_.get(), packed.data(), packed.size(), frame_.data(),
                                       frame_.size(), kLevel);
    if (ZSTD_isError(n)) return Error(Code::kExhausted, "zstd: {}", ZSTD_getErrorName(n));
    packed.resize(n);
    MNW_TRY(file_.Append(packed));
    frame_.clear();
    framed_ = {records_, framed_.bytes + n};
    return Status();
  }

  File file_;
  Position framed_;
  uint64_t records_;
  std::string frame_;
  std::unique_ptr<ZSTD_CCtx, Free> context_;
};

// A new name is on disk only when its folder is.
void SyncFolder(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

Result<int> OpenFile(const std::string& path, const Position& from, bool replace) {
  if (path == "-") return STDOUT_FILENO;
  if (from.bytes > 0) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) {
      return Error(Code::kPrecondition, "cannot go on with '{}': {}", path, std::strerror(errno));
    }
    struct stat st;
    const bool shorter = ::fstat(fd, &st) == 0 && static_cast<uint64_t>(st.st_size) < from.bytes;
    if (shorter || ::ftruncate(fd, static_cast<off_t>(from.bytes)) != 0) {
      ::close(fd);
      return Error(Code::kPrecondition,
                   "'{}' is not what this run wrote ({} bytes of it are settled); restore it, or "
                   "--overwrite to start anew",
                   path, from.bytes);
    }
    MNW_CRASH_POINT("batch.truncated");
    return fd;
  }
  // O_EXCL: results of hours of work must not vanish because a command was repeated.
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (replace ? O_TRUNC : O_EXCL);
  const int fd = ::open(path.c_str(), flags, 0666);
  if (fd < 0 && errno == EEXIST) {
    return Error(Code::kInvalid,
                 "'{}' exists; give another --output, or --overwrite to lose what is in it", path);
  }
  if (fd < 0) {
    return Error(Code::kInvalid, "cannot write '{}': {}", path, std::strerror(errno));
  }
  SyncFolder(path);
  return fd;
}

}  // namespace

Result<std::unique_ptr<Output>> Output::Open(const std::string& path, const Position& from,
                                             bool replace) {
  MNW_ASSIGN(const int fd, OpenFile(path, from, replace));
  if (path.ends_with(".zst")) return std::unique_ptr<Output>(new Compressed(fd, from));
  return std::unique_ptr<Output>(new Plain(fd, from));
}

}  // namespace minnow::batch
