#include "plugins/registry.h"

#include <stdlib.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/cache_dir.h"
#include "base/log.h"
#include "formats/printable.h"
#include "plugins/host_services.h"
#include "plugins/trust.h"

namespace minnow::plugins {
namespace fs = std::filesystem;
namespace {

using formats::Printable;

constexpr size_t kMaxPath = 4096;

// The variable, unless it is empty or this process has rights that its user has not.
std::string SafeEnvironment(const char* name) {
  const char* value = ::secure_getenv(name);
  return value ? value : "";
}

std::vector<std::string> SplitPath(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const size_t end = std::min(list.find(':'), list.size());
    if (end > 0) parts.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return parts;
}

// The libraries there, in order of name. A manifest without its library counts as that library.
Result<std::vector<std::string>> Libraries(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::string path = it->path().native();
    if (path.ends_with(kManifestSuffix)) {
      path.replace(path.size() - kManifestSuffix.size(), path.npos, kLibrarySuffix);
    }
    if (path.ends_with(kLibrarySuffix)) paths.push_back(std::move(path));
  }
  if (error) {
    return Error(Code::kInvalid, "cannot list '{}': {}", Printable(directory, kMaxPath),
                 error.message());
  }
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

const char* StateName(PluginState state) {
  switch (state) {
    case PluginState::kRefused:
      return "refused";
    case PluginState::kAvailable:
      return "available";
    case PluginState::kLoaded:
      return "loaded";
  }
  return "unknown";
}

struct DeviceSpec {
  std::string_view id;
  DeviceOptions options;
};

// "cpu:isa=avx2,threads=2": `threads` is taken out, the rest is the backend's to check.
Result<DeviceSpec> ParseDeviceSpec(std::string_view text, uint32_t n_threads) {
  DeviceSpec spec;
  spec.options.n_threads = n_threads;
  const size_t colon = std::min(text.find(':'), text.size());
  spec.id = text.substr(0, colon);
  std::string_view rest = text.substr(std::min(colon + 1, text.size()));
  if (spec.id.empty()) return Error(Code::kInvalid, "device '{}' has no name", Printable(text));
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    const std::string_view setting = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == setting.npos) {
      return Error(Code::kInvalid, "device '{}': '{}' is not of the form key=value",
                   Printable(text), Printable(setting));
    }
    if (setting.substr(0, equals) != "threads") {
      if (!spec.options.config.empty()) spec.options.config += ',';
      spec.options.config += setting;
      continue;
    }
    const std::string_view value = setting.substr(equals + 1);
    const auto [last, error] =
        std::from_chars(value.data(), value.data() + value.size(), spec.options.n_threads);
    if (error != std::errc() || last != value.data() + value.size()) {
      return Error(Code::kInvalid, "device '{}': threads '{}' is not a number", Printable(text),
                   Printable(value));
    }
  }
  return spec;
}

// "a, b" or "none"
std::string Joined(const std::vector<std::string>& names) {
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

RegistryOptions RegistryOptions::FromEnvironment(std::vector<std::string> directories) {
  RegistryOptions options;
  options.directories = std::move(directories);
  for (std::string& part : SplitPath(SafeEnvironment("MINNOW_PLUGIN_PATH"))) {
    options.directories.push_back(std::move(part));
  }
  std::error_code error;
  const fs::path exe = fs::read_symlink("/proc/self/exe", error).parent_path();
  if (!error) {
    options.directories.push_back((exe.parent_path() / "plugins").native());
    options.directories.push_back((exe / MINNOW_PLUGINS_FROM_BIN).lexically_normal().native());
    const fs::path beside = exe / "minnow-probe";
    const fs::path installed = (exe / MINNOW_PROBE_FROM_BIN).lexically_normal();
    options.loader.probe.program = (fs::exists(beside, error) ? beside : installed).native();
  }
  options.loader.cache_dir = CacheDirectory();
  return options;
}

Registry Registry::Scan(const RegistryOptions& options) {
  Registry registry;
  for (const std::string& directory : options.directories) {
    registry.ScanDirectory(directory, options.loader);
  }
  registry.loaded_.resize(registry.found_.size());
  return registry;
}

void Registry::ScanDirectory(const std::string& directory, const LoaderOptions& options) {
  std::error_code error;
  if (fs::path(directory).is_absolute() && !fs::exists(directory, error)) return;
  const auto trusted = TrustedDirectory(directory);
  const auto libraries =
      trusted.ok() ? Libraries(*trusted) : Result<std::vector<std::string>>(trusted.status());
  if (!libraries.ok()) {
    // One line for the directory; its files are not even listed.
    Add({directory, {}, {}}, libraries.status());
    return;
  }
  for (const std::string& path : *libraries) {
    if (std::any_of(found_.begin(), found_.end(), [&](const Found& f) { return f.path == path; })) {
      continue;
    }
    auto candidate = Examine(path, options);
    if (candidate.ok()) {
      const Status status = CheckNewId(candidate->manifest.id);
      Add(*std::move(candidate), status);
    } else {
      // The manifest names the plugin even where it is refused, if it can be read.
      const auto named = ReadManifest(ManifestPath(path));
      Add({path, named.ok() ? *named : Manifest(), {}}, candidate.status());
    }
  }
}

Status Registry::CheckNewId(std::string_view id) const {
  for (const Found& f : found_) {
    if (f.state != PluginState::kRefused && f.id == id) {
      return Error(Code::kInvalid, "its id '{}' is already taken by '{}'", id, f.path);
    }
  }
  return Status();
}

void Registry::Add(Candidate candidate, const Status& status) {
  found_.push_back({candidate.path, candidate.manifest.id, candidate.manifest.kind,
                    status.ok() ? PluginState::kAvailable : PluginState::kRefused,
                    Printable(status.message(), kMaxPath)});
  candidates_.push_back(std::move(candidate));
}

const LoadedPlugin* Registry::Load(size_t i, std::string_view kind) {
  Found& found = found_[i];
  if (found.state == PluginState::kRefused || found.kind != kind) return nullptr;
  if (found.state == PluginState::kAvailable) {
    auto loaded = OpenLibrary(candidates_[i]);
    if (!loaded.ok()) {
      Refuse(i, loaded.status());
      return nullptr;
    }
    loaded_[i] = *loaded;
    found.state = PluginState::kLoaded;
    found.reason = loaded->remark;
    if (!loaded->remark.empty()) LogWarning("plugin '{}': {}", found.id, loaded->remark);
  }
  return &loaded_[i];
}

void Registry::Refuse(size_t i, const Status& why) {
  found_[i].state = PluginState::kRefused;
  found_[i].reason = Printable(why.message(), kMaxPath);
}

void Registry::LoadAll() {
  for (size_t i = 0; i < found_.size(); ++i) Load(i, found_[i].kind);
}

// All of them or, of a plugin that is refused, none.
Status Registry::AppendDevices(size_t plugin, std::vector<BackendDevice>* devices) const {
  const mnw_backend& backend = *loaded_[plugin].backend;
  std::vector<BackendDevice> all = *devices;
  MNW_ASSIGN(const uint32_t n, CountDevices(backend));
  for (uint32_t device = 0; device < n; ++device) {
    MNW_ASSIGN(DeviceInfo info, ReadDeviceInfo(backend, device));
    const auto same = [&](const BackendDevice& d) { return d.info.id == info.id; };
    if (const auto taken = std::find_if(all.begin(), all.end(), same); taken != all.end()) {
      return Error(Code::kInvalid, "its device '{}' is already offered by '{}'", info.id,
                   found_[taken->plugin].path);
    }
    all.push_back({plugin, &backend, device, std::move(info)});
  }
  *devices = std::move(all);
  return Status();
}

std::vector<Registry::BackendDevice> Registry::FindDevices() {
  std::vector<BackendDevice> devices;
  for (size_t i = 0; i < found_.size(); ++i) {
    if (!Load(i, "backend")) continue;
    const Status status = AppendDevices(i, &devices);
    if (!status.ok()) Refuse(i, status);
  }
  return devices;
}

std::vector<DeviceInfo> Registry::Devices() {
  std::vector<DeviceInfo> infos;
  for (BackendDevice& device : FindDevices()) infos.push_back(std::move(device.info));
  return infos;
}

Result<Device> Registry::OpenDevice(std::string_view text, uint32_t n_threads) {
  MNW_ASSIGN(const DeviceSpec spec, ParseDeviceSpec(text, n_threads));
  std::vector<std::string> known;
  for (const BackendDevice& device : FindDevices()) {
    if (device.info.id == spec.id) {
      return Device::Open(*device.backend, device.number, HostServices(), spec.options);
    }
    known.push_back(device.info.id);
  }
  return Error(Code::kNotFound, "no device '{}'; there are: {}{}", Printable(spec.id),
               Joined(known), Refusals("backend"));
}

Result<const mnw_arch*> Registry::FindArch(std::string_view id) {
  std::vector<std::string> known;
  for (size_t i = 0; i < found_.size(); ++i) {
    const LoadedPlugin* loaded = Load(i, "models");
    if (!loaded) continue;
    for (const mnw_arch* arch : std::span(loaded->archs->archs, loaded->archs->n)) {
      if (arch->id == id) return arch;
      known.push_back(Printable(arch->id));
    }
  }
  std::sort(known.begin(), known.end());
  return Error(Code::kUnsupported, "no plugin builds the architecture '{}'; known are: {}{}",
               Printable(id), Joined(known), Refusals("models"));
}

std::string Registry::Refusals(std::string_view kind) const {
  std::string text;
  for (const Found& f : found_) {
    if (f.state != PluginState::kRefused || (!f.kind.empty() && f.kind != kind)) continue;
    text += fmt::format("{}{} ({})", text.empty() ? "; refused: " : ", ",
                        Printable(f.path, kMaxPath), f.reason);
  }
  return text;
}

std::string Registry::WhyText() const {
  std::string text;
  for (const Found& f : found_) {
    text += fmt::format("{:<9}  {:<16}  {}{}{}\n", StateName(f.state), f.id.empty() ? "-" : f.id,
                        Printable(f.path, kMaxPath), f.reason.empty() ? "" : ": ", f.reason);
  }
  return text;
}

std::string Registry::WhyJson() const {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const Found& f : found_) {
    all.push_back({{"state", StateName(f.state)},
                   {"id", f.id},
                   {"kind", f.kind},
                   {"path", Printable(f.path, kMaxPath)},
                   {"reason", f.reason}});
  }
  return all.dump();
}

}  // namespace minnow::plugins
