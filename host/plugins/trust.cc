#include "plugins/trust.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace minnow::plugins {
namespace fs = std::filesystem;
namespace {

bool OwnedByUs(const struct stat& st) { return st.st_uid == 0 || st.st_uid == ::geteuid(); }

Status NotOwned(const fs::path& path, const struct stat& st) {
  return Error(Code::kInvalid,
               "untrusted: '{}' belongs to user {}, neither root nor the current user",
               path.native(), st.st_uid);
}

bool IsBuildTree(const fs::path& directory) {
  struct stat st;
  return ::lstat((directory / kBuildTreeMarker).c_str(), &st) == 0 && S_ISREG(st.st_mode) &&
         OwnedByUs(st);
}

// `path` is canonical and lies in the canonical `directory`, or is that directory.
Status CheckOwnerAndMode(const fs::path& path, const fs::path& directory) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) {
    return Error(Code::kNotFound, "cannot examine '{}': {}", path.native(), std::strerror(errno));
  }
  if (!OwnedByUs(st)) return NotOwned(path, st);
  if (st.st_mode & S_IWOTH) {
    return Error(Code::kInvalid, "untrusted: '{}' is world-writable; chmod o-w it", path.native());
  }
  if ((st.st_mode & S_IWGRP) && !IsBuildTree(directory)) {
    return Error(Code::kInvalid, "untrusted: '{}' is group-writable; chmod g-w it", path.native());
  }
  return Status();
}

Result<fs::path> Canonical(const fs::path& path) {
  if (!path.is_absolute()) {
    return Error(Code::kInvalid, "untrusted: '{}' is not an absolute path", path.native());
  }
  std::error_code error;
  fs::path canonical = fs::canonical(path, error);
  if (error) {
    return Error(Code::kNotFound, "cannot resolve '{}': {}", path.native(), error.message());
  }
  return canonical;
}

}  // namespace

Result<std::string> TrustedDirectory(const std::string& path) {
  MNW_ASSIGN(const fs::path directory, Canonical(path));
  std::error_code error;
  if (fs::current_path(error) == directory) {
    return Error(Code::kInvalid, "untrusted: '{}' is the working directory; start from another one",
                 directory.native());
  }
  if (!fs::is_directory(directory, error)) {
    return Error(Code::kInvalid, "'{}' is not a directory", directory.native());
  }
  MNW_TRY(CheckOwnerAndMode(directory, directory));
  // Who may write above may put another directory in this one's place; a sticky bit forbids that
  // to all but the owner.
  for (fs::path above = directory.parent_path();; above = above.parent_path()) {
    struct stat st;
    if (::stat(above.c_str(), &st) != 0 || ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX))) {
      return Error(Code::kInvalid, "untrusted: '{}' lies below '{}', which is world-writable",
                   directory.native(), above.native());
    }
    if (!OwnedByUs(st)) return NotOwned(above, st);
    if (above == above.root_path()) return directory.native();
  }
}

Status CheckTrustedFile(const std::string& path) {
  MNW_ASSIGN(const fs::path file, Canonical(path));
  MNW_ASSIGN(const fs::path directory, TrustedDirectory(fs::path(path).parent_path()));
  if (file.parent_path() != directory) {
    return Error(Code::kInvalid, "untrusted: '{}' is a link to '{}', outside its directory", path,
                 file.native());
  }
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return Error(Code::kInvalid, "'{}' is not a regular file", path);
  }
  return CheckOwnerAndMode(file, directory);
}

}  // namespace minnow::plugins
