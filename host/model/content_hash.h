// What a model is, whatever it is called: SHA-256 over the bytes of its files, in order.
//
// A file is read once for each inode, size and time of it; what came of that is kept in
// <cache>/hashes, for its owner's eyes. Threads: any; reading takes a second for some GiB.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace minnow::model {

// The file itself; of a folder, what belongs to a model or an adapter (JSON, templates, safetensors),
// in order of name.
std::vector<std::string> FilesOf(const std::string& path);

// In lower-case hex. `cache_dir` empty: nothing is kept.
Result<std::string> ContentHash(std::span<const std::string> files, const std::string& cache_dir);

}  // namespace minnow::model
