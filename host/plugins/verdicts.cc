#include "plugins/verdicts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/mapped_file.h"

namespace minnow::plugins {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = 1 << 20;

std::string FileIn(const std::string& cache_dir) { return cache_dir + "/plugins.json"; }

Result<struct stat> Stat(const std::string& path) {
  struct stat st;
  if (::stat(path.c_str(), &st) == 0) return st;
  return Error(Code::kNotFound, "cannot examine '{}': {}", path, std::strerror(errno));
}

int64_t ModifiedNs(const struct stat& st) {
  return int64_t{st.st_mtim.tv_sec} * 1000000000 + st.st_mtim.tv_nsec;
}

Json Load(const std::string& cache_dir) {
  const auto file = MappedFile::Open(FileIn(cache_dir));
  if (!file.ok() || file->bytes().size() > kMaxBytes) return Json::object();
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

// The member of that type, or null when something else or nothing is there.
template <class T>
const T* Member(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() ? nullptr : found->get_ptr<const T*>();
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

void Replace(const std::string& path, std::string_view text) {
  std::string temporary = path + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return;
  const bool written = WriteAll(fd, text);
  if (::close(fd) != 0 || !written || ::rename(temporary.c_str(), path.c_str()) != 0) {
    ::unlink(temporary.c_str());
  }
}

// Verdicts on files that are gone would pile up with every build folder.
void DropGone(Json* verdicts) {
  for (auto it = verdicts->begin(); it != verdicts->end();) {
    it = ::access(it.key().c_str(), F_OK) == 0 ? std::next(it) : verdicts->erase(it);
  }
}

}  // namespace

Result<VerdictKey> VerdictKey::Of(const std::string& library_path,
                                  const std::string& probe_program) {
  MNW_ASSIGN(const struct stat library, Stat(library_path));
  const auto probe = Stat(probe_program);
  if (!probe.ok()) return probe.status().Annotate("cannot be tried without the probe program");
  return VerdictKey{library_path, static_cast<uint64_t>(library.st_size), ModifiedNs(library),
                    fmt::format("{}:{}:{}", probe_program, probe->st_size, ModifiedNs(*probe))};
}

std::optional<Verdict> FindVerdict(const std::string& cache_dir, const VerdictKey& key) {
  if (cache_dir.empty()) return std::nullopt;
  const Json all = Load(cache_dir);
  const auto found = all.find(key.path);
  if (found == all.end() || !found->is_object()) return std::nullopt;
  const auto* size = Member<Json::number_unsigned_t>(*found, "size");
  const auto* mtime = Member<Json::number_integer_t>(*found, "mtime_ns");
  const auto* host = Member<std::string>(*found, "host");
  const auto* sha256 = Member<std::string>(*found, "sha256");
  const auto* reason = Member<std::string>(*found, "reason");
  if (!size || !mtime || !host || !sha256 || !reason) return std::nullopt;
  if (*size != key.size || *mtime != key.mtime_ns || *host != key.host) return std::nullopt;
  return Verdict{*sha256, *reason};
}

void StoreVerdict(const std::string& cache_dir, const VerdictKey& key, const Verdict& verdict) {
  if (cache_dir.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(cache_dir, error);
  if (error) return;
  Json all = Load(cache_dir);
  DropGone(&all);
  all[key.path] = {{"size", key.size},
                   {"mtime_ns", key.mtime_ns},
                   {"host", key.host},
                   {"sha256", verdict.sha256},
                   {"reason", verdict.reason}};
  Replace(FileIn(cache_dir), all.dump(1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace minnow::plugins
