#include "service/source_watch.h"

#include <ctime>

namespace minnow::service {

namespace {

bool Same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

bool Same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         Same(a.st_mtim, b.st_mtim) && Same(a.st_ctim, b.st_ctim);
}

// File systems count time in steps of milliseconds up to two seconds (FAT).
bool IsOld(const struct stat& stamp) { return std::time(nullptr) - stamp.st_ctim.tv_sec > 3; }

}  // namespace

void SourceWatch::Add(const Files& made_of) {
  for (const auto& [path, sha256] : made_of) {
    files_.try_emplace(path, Seen{.made_of = sha256, .sha256 = sha256});
  }
}

bool SourceWatch::Changed() {
  bool differs = false, settled = true;
  for (auto& [path, seen] : files_) {
    std::string sha256 = Look(path, seen);
    settled &= sha256 == seen.sha256;
    differs |= sha256 != seen.made_of;
    seen.sha256 = std::move(sha256);
  }
  return differs && settled;
}

std::string SourceWatch::Look(const std::string& path, Seen& seen) {
  struct stat stamp {};
  if (::stat(path.c_str(), &stamp) != 0) stamp = {};  // gone: that is a stamp, too
  if (seen.read && Same(stamp, seen.stamp) && IsOld(stamp)) return seen.sha256;
  seen.stamp = stamp;
  seen.read = true;
  return script::Program::HashOf(path);
}

}  // namespace minnow::service
