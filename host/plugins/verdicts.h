// What earlier probes found out, so that start-up tries a library once and not every time.
//
// One JSON file. A verdict holds for one library (path, size, mtime) and one probe program; another
// build of either makes it void, and so does `touch`. A file that is absent, corrupt or not
// writable only means that libraries are tried again. Written whole to a temporary name and
// renamed: of two processes that write at once one's additions are lost, never the file. Threads:
// any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"

namespace minnow::plugins {

struct VerdictKey {
  std::string path;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  std::string host;  // identifies the probe program's build

  static Result<VerdictKey> Of(const std::string& library_path, const std::string& probe_program);
};

struct Verdict {
  std::string sha256;  // of the library
  std::string reason;  // empty: it may be opened
};

std::optional<Verdict> FindVerdict(const std::string& cache_dir, const VerdictKey& key);
void StoreVerdict(const std::string& cache_dir, const VerdictKey& key, const Verdict& verdict);

}  // namespace minnow::plugins
