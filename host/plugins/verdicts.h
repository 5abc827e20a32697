// What earlier probes found out, so that start-up tries a library once and not every time.
//
// A JSON file for each library, for the eyes of its owner, so that a start reads as much as it
// asks for. A verdict holds for one library (path and stamp) and one probe program; another build
// of either makes it void, and so does `touch`. A file that is absent, corrupt, somebody else's, or
// not writable only means that its library is tried again. Written whole to a temporary name and
// renamed. Threads: any.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "plugins/files.h"

namespace minnow::plugins {

struct VerdictKey {
  std::string path;
  FileStamp library;
  std::string host;  // identifies the probe program's build

  static Result<VerdictKey> Of(const std::string& library_path, const FileStamp& library,
                               const std::string& probe_program);
};

struct Verdict {
  std::string sha256;  // of the library
  std::string reason;  // empty: it may be opened
};

std::string VerdictFile(const std::string& cache_dir, const std::string& library_path);
std::optional<Verdict> FindVerdict(const std::string& cache_dir, const VerdictKey& key);
void StoreVerdict(const std::string& cache_dir, const VerdictKey& key, const Verdict& verdict);

}  // namespace minnow::plugins
