#include "plugins/verdicts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

namespace minnow::plugins {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = 1 << 20;
constexpr int kMaxDepth = 2;

// What others could have written is not believed: a good verdict opens a library untried.
Json Load(const std::string& cache_dir) {
  const auto file = OpenFile::Open(VerdictFile(cache_dir));
  if (!file.ok()) return Json::object();
  const struct stat& st = file->stat();
  if (st.st_uid != ::geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))) return Json::object();
  const auto text = file->Read(kMaxBytes);
  if (!text.ok()) return Json::object();
  int deepest = 0;
  const auto limit = [&](int depth, Json::parse_event_t, Json&) {
    deepest = std::max(deepest, depth);
    return deepest <= kMaxDepth;
  };
  Json json = Json::parse(*text, limit, /*allow_exceptions=*/false);
  return json.is_object() && deepest <= kMaxDepth ? json : Json::object();
}

// Null when something else or nothing is there.
const std::string* Member(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found == json.end() ? nullptr : found->get_ptr<const std::string*>();
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

std::string VerdictFile(const std::string& cache_dir) { return cache_dir + "/plugins.json"; }

Result<VerdictKey> VerdictKey::Of(const std::string& library_path, const FileStamp& library,
                                  const std::string& probe_program) {
  const auto probe = FileStamp::Of(probe_program);
  if (!probe.ok()) return probe.status().Annotate("cannot be tried without the probe program");
  return VerdictKey{library_path, library, probe_program + ":" + probe->Text()};
}

std::optional<Verdict> FindVerdict(const std::string& cache_dir, const VerdictKey& key) {
  if (cache_dir.empty()) return std::nullopt;
  const Json all = Load(cache_dir);
  const auto found = all.find(key.path);
  if (found == all.end() || !found->is_object()) return std::nullopt;
  const std::string* library = Member(*found, "library");
  const std::string* host = Member(*found, "host");
  const std::string* sha256 = Member(*found, "sha256");
  const std::string* reason = Member(*found, "reason");
  if (!library || !host || !sha256 || !reason) return std::nullopt;
  if (*library != key.library.Text() || *host != key.host) return std::nullopt;
  return Verdict{*sha256, *reason};
}

void StoreVerdict(const std::string& cache_dir, const VerdictKey& key, const Verdict& verdict) {
  if (cache_dir.empty()) return;
  const std::filesystem::path folder(cache_dir);
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(cache_dir.c_str(), S_IRWXU) != 0 && errno != EEXIST) return;
  Json all = Load(cache_dir);
  DropGone(&all);
  all[key.path] = {{"library", key.library.Text()},
                   {"host", key.host},
                   {"sha256", verdict.sha256},
                   {"reason", verdict.reason}};
  Replace(VerdictFile(cache_dir), all.dump(1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace minnow::plugins
