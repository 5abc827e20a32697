#include "plugins/verdicts.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "base/write_file.h"
#include "base/sha256.h"

namespace minnow::plugins {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxBytes = 64 * 1024;
constexpr int kMaxDepth = 1;

std::string Folder(const std::string& cache_dir) { return cache_dir + "/plugins"; }

// What others could have written is not believed: a good verdict opens a library untried.
Json Load(const std::string& path) {
  const auto file = OpenFile::Open(path);
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

// Verdicts on libraries that are gone would pile up with every build folder.
void DropGone(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string file = entry.path().native();
    if (!file.ends_with(".json")) continue;
    const Json verdict = Load(file);
    const std::string* path = Member(verdict, "path");
    if (path && ::access(path->c_str(), F_OK) != 0) ::unlink(file.c_str());
  }
}

bool MakePrivate(const std::string& folder) {
  return ::mkdir(folder.c_str(), S_IRWXU) == 0 || errno == EEXIST;
}

}  // namespace

std::string VerdictFile(const std::string& cache_dir, const std::string& library_path) {
  const std::string name = std::filesystem::path(library_path).stem().native().substr(0, 64);
  return fmt::format("{}/{}-{:.16}.json", Folder(cache_dir), name, Sha256Hex(library_path));
}

Result<VerdictKey> VerdictKey::Of(const std::string& library_path, const FileStamp& library,
                                  const std::string& probe_program) {
  const auto probe = FileStamp::Of(probe_program);
  if (!probe.ok()) return probe.status().Annotate("cannot be tried without the probe program");
  return VerdictKey{library_path, library, probe_program + ":" + probe->Text()};
}

std::optional<Verdict> FindVerdict(const std::string& cache_dir, const VerdictKey& key) {
  if (cache_dir.empty()) return std::nullopt;
  const Json found = Load(VerdictFile(cache_dir, key.path));
  const auto says = [&](const char* name, const std::string& value) {
    const std::string* member = Member(found, name);
    return member && *member == value;
  };
  if (!says("path", key.path) || !says("library", key.library.Text()) || !says("host", key.host)) {
    return std::nullopt;
  }
  const std::string* sha256 = Member(found, "sha256");
  const std::string* reason = Member(found, "reason");
  if (!sha256 || !reason) return std::nullopt;
  return Verdict{*sha256, *reason};
}

void StoreVerdict(const std::string& cache_dir, const VerdictKey& key, const Verdict& verdict) {
  if (cache_dir.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(cache_dir).parent_path(), error);
  if (!MakePrivate(cache_dir) || !MakePrivate(Folder(cache_dir))) return;
  DropGone(Folder(cache_dir));
  const Json json = {{"path", key.path},
                     {"library", key.library.Text()},
                     {"host", key.host},
                     {"sha256", verdict.sha256},
                     {"reason", verdict.reason}};
  // What is not kept is made again.
  (void)WriteWholeFile(VerdictFile(cache_dir, key.path),
                       json.dump(1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace minnow::plugins
