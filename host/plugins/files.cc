#include "plugins/files.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace minnow::plugins {
namespace {

constexpr size_t kChunk = 64 * 1024;

int64_t Nanoseconds(const struct timespec& t) { return int64_t{t.tv_sec} * 1000000000 + t.tv_nsec; }

}  // namespace

Result<OpenFile> OpenFile::Open(const std::string& path) {
  OpenFile file;
  file.path_ = path;
  file.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file.fd_ < 0) {
    return Error(errno == ENOENT ? Code::kNotFound : Code::kInvalid, "cannot open '{}': {}", path,
                 std::strerror(errno));
  }
  if (::fstat(file.fd_, &file.stat_) != 0 || !S_ISREG(file.stat_.st_mode)) {
    return Error(Code::kInvalid, "'{}' is not a regular file", path);
  }
  return file;
}

OpenFile::OpenFile(OpenFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), stat_(other.stat_) {}

OpenFile::~OpenFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<size_t> OpenFile::ReadSome(char* to, size_t n) const {
  for (;;) {
    const ssize_t got = ::read(fd_, to, n);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno != EINTR) {
      return Error(Code::kCorrupt, "cannot read '{}': {}", path_, std::strerror(errno));
    }
  }
}

Result<std::string> OpenFile::Read(size_t max_bytes) const {
  std::string bytes;
  while (bytes.size() < max_bytes) {
    const size_t old = bytes.size();
    bytes.resize(old + std::min(kChunk, max_bytes - old));
    MNW_ASSIGN(const size_t n, ReadSome(bytes.data() + old, bytes.size() - old));
    bytes.resize(old + n);
    if (n == 0) break;
  }
  return bytes;
}

Result<std::string> OpenFile::Sha256() const {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> sum(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  bool good = sum && EVP_DigestInit_ex(sum.get(), EVP_sha256(), nullptr) == 1;
  std::string chunk(kChunk, '\0');
  for (;;) {
    MNW_ASSIGN(const size_t n, ReadSome(chunk.data(), chunk.size()));
    if (n == 0) break;
    good = good && EVP_DigestUpdate(sum.get(), chunk.data(), n) == 1;
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned n = 0;
  if (!good || EVP_DigestFinal_ex(sum.get(), digest.data(), &n) != 1) {
    return Error(Code::kInternal, "cannot compute the sha256 of '{}'", path_);
  }
  std::string hex;
  for (const unsigned char byte : std::span(digest).first(n)) hex += fmt::format("{:02x}", byte);
  return hex;
}

Result<FileStamp> FileStamp::Of(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) {
    return Error(Code::kNotFound, "cannot examine '{}': {}", path, std::strerror(errno));
  }
  return FileStamp{st.st_ino, static_cast<uint64_t>(st.st_size), Nanoseconds(st.st_mtim),
                   Nanoseconds(st.st_ctim)};
}

std::string FileStamp::Text() const {
  return fmt::format("{}:{}:{}:{}", inode, size, modified_ns, changed_ns);
}

}  // namespace minnow::plugins
