#include "script/grants.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace minnow::script {
namespace {

namespace fs = std::filesystem;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

bool IsInside(const fs::path& path, const std::string& folder) {
  const fs::path root(folder);
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end()).first == root.end();
}

Status NotGranted(const std::string& path, const Grants& grants) {
  if (grants.read.empty()) {
    return Error(Code::kPrecondition,
                 "'{}': this script may read no files; grant a folder with --allow read=DIR", path);
  }
  return Error(Code::kPrecondition, "'{}' is in no folder that is granted (--allow read={})", path,
               fmt::join(grants.read, ",read="));
}

// Opens first and looks then at what was opened, so that nothing can be exchanged in between. What
// is not granted is not told apart from what is not there.
Result<Descriptor> OpenGranted(const Grants& grants, const std::string& path, int flags) {
  if (grants.read.empty() || path.find('\0') != std::string::npos) return NotGranted(path, grants);
  Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags));
  const int error = errno;
  std::error_code ignored;
  const fs::path where =
      file.get() >= 0 ? fs::read_symlink("/proc/self/fd/" + std::to_string(file.get()), ignored)
                      : fs::weakly_canonical(path, ignored);
  const bool is_granted = std::any_of(grants.read.begin(), grants.read.end(),
                                      [&](const auto& folder) { return IsInside(where, folder); });
  if (!is_granted) return NotGranted(path, grants);
  if (file.get() < 0) {
    return Error(error == ENOENT ? Code::kNotFound : Code::kInvalid, "'{}': {}", path,
                 std::strerror(error));
  }
  return file;
}

Status ReadGrant(std::string_view entry, Grants* grants) {
  const size_t equals = std::min(entry.find('='), entry.size());
  const std::string_view kind = entry.substr(0, equals);
  const std::string value(entry.substr(std::min(equals + 1, entry.size())));
  if (kind == "net" && !value.empty()) {
    grants->net.push_back(value);
    return {};
  }
  if ((kind != "read" && kind != "contexts") || value.empty()) {
    return Error(Code::kInvalid, "--allow: '{}' should be read=DIR, net=HOST or contexts=DIR",
                 entry);
  }
  std::error_code error;
  const fs::path folder = fs::canonical(value, error);
  if (error || !fs::is_directory(folder, error)) {
    return Error(Code::kInvalid, "--allow: '{}' is no folder", value);
  }
  if (kind == "contexts") {
    grants->contexts = folder.string();
  } else {
    grants->read.push_back(folder.string());
  }
  return {};
}

}  // namespace

Status ReadGrants(std::string_view text, Grants* grants) {
  for (;;) {
    const size_t comma = std::min(text.find(','), text.size());
    MNW_TRY(ReadGrant(text.substr(0, comma), grants));
    if (comma == text.size()) return {};
    text.remove_prefix(comma + 1);
  }
}

Result<std::string> ReadGrantedFile(const Grants& grants, const std::string& path,
                                    size_t max_bytes) {
  MNW_ASSIGN(const Descriptor file, OpenGranted(grants, path, 0));
  struct stat status;
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error(Code::kInvalid, "'{}' is no regular file", path);
  }
  std::string bytes;
  for (;;) {
    constexpr size_t kPiece = 1 << 20;
    const size_t size = bytes.size();
    bytes.resize(size + kPiece);
    const ssize_t n = read(file.get(), bytes.data() + size, kPiece);
    bytes.resize(size + static_cast<size_t>(std::max<ssize_t>(n, 0)));
    if (n < 0) return Error(Code::kInvalid, "'{}': {}", path, std::strerror(errno));
    if (bytes.size() > max_bytes) {
      return Error(Code::kExhausted, "'{}' has more than the {} bytes of the memory budget", path,
                   max_bytes);
    }
    if (n == 0) return bytes;
  }
}

Result<std::vector<std::string>> ListGrantedFolder(const Grants& grants, const std::string& path) {
  MNW_ASSIGN(Descriptor folder, OpenGranted(grants, path, O_DIRECTORY));
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(folder.get()), &closedir);
  if (!entries) return Error(Code::kInvalid, "'{}': {}", path, std::strerror(errno));
  folder.release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(entries.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (entry->d_type == DT_DIR) name += '/';
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace minnow::script
