#include "model/content_hash.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/sha256.h"
#include "base/write_file.h"
#include "plugins/files.h"

namespace minnow::model {

namespace {

constexpr size_t kHexDigits = 64;

// The name holds all that the hash depends on, so a file is either right or not there.
std::string CacheFile(const std::string& cache_dir, const std::string& path,
                      const plugins::FileStamp& stamp) {
  return cache_dir + "/hashes/" + Sha256Hex(path + '\0' + stamp.Text());
}

std::string ReadCached(const std::string& file) {
  const auto open = plugins::OpenFile::Open(file);
  if (!open.ok() || open->stat().st_uid != ::geteuid()) return "";
  const auto text = open->Read(kHexDigits + 1);
  return text.ok() && text->size() == kHexDigits ? *text : "";
}

void WriteCached(const std::string& file, const std::string& hash) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), error);
  (void)WriteWholeFile(file, hash);  // what is not kept is made again
}

Result<std::string> HashFile(const std::string& path, const std::string& cache_dir) {
  MNW_ASSIGN(const plugins::FileStamp stamp, plugins::FileStamp::Of(path));
  const std::string cached = cache_dir.empty() ? "" : CacheFile(cache_dir, path, stamp);
  if (!cached.empty()) {
    if (std::string hash = ReadCached(cached); !hash.empty()) return hash;
  }
  MNW_ASSIGN(const plugins::OpenFile file, plugins::OpenFile::Open(path));
  MNW_ASSIGN(std::string hash, file.Sha256());
  if (!cached.empty()) WriteCached(cached, hash);
  return hash;
}

}  // namespace

std::vector<std::string> FilesOf(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) return {path};
  std::vector<std::string> files;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    const std::string kind = it->path().extension().string();
    if (kind != ".json" && kind != ".jinja" && kind != ".safetensors") continue;
    if (it->is_regular_file(error)) files.push_back(it->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<std::string> ContentHash(std::span<const std::string> files, const std::string& cache_dir) {
  std::string all;
  for (const std::string& path : files) {
    MNW_ASSIGN(const std::string hash, HashFile(path, cache_dir));
    all += hash;
  }
  return files.size() == 1 ? all : Sha256Hex(all);
}

}  // namespace minnow::model
