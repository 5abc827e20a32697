#include "plugins/loader.h"

#include <dlfcn.h>
#include <openssl/evp.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>
#include <cfenv>
#include <exception>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/mapped_file.h"
#include "formats/printable.h"
#include "plugins/trust.h"
#include "plugins/verdicts.h"

namespace minnow::plugins {
namespace {

using formats::Printable;

// Far above any table of this major version; what claims more is no table.
constexpr uint32_t kMaxTable = 64 * 1024;
constexpr uint32_t kMaxArchs = 4096;

Result<std::string> Sha256(const std::string& path) {
  MNW_ASSIGN(const MappedFile file, MappedFile::Open(path));
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  if (EVP_Digest(file.bytes().data(), file.bytes().size(), digest, &n, EVP_sha256(), nullptr) !=
      1) {
    return Error(Code::kInternal, "cannot compute the sha256 of '{}'", path);
  }
  std::string hex;
  for (unsigned char byte : std::span(digest, n)) hex += fmt::format("{:02x}", byte);
  return hex;
}

Status CheckSha256(const std::string& actual, const Manifest& manifest) {
  if (actual == manifest.sha256) return Status();
  return Error(Code::kCorrupt,
               "its sha256 is {}, not {} as the manifest says; reinstall or rebuild it", actual,
               manifest.sha256);
}

Status TryOnce(const std::string& library_path, const Manifest& manifest,
               const LoaderOptions& options) {
  MNW_ASSIGN(const VerdictKey key, VerdictKey::Of(library_path, options.probe.program));
  if (const auto verdict = FindVerdict(options.cache_dir, key)) {
    MNW_TRY(CheckSha256(verdict->sha256, manifest));
    if (verdict->reason.empty()) return Status();
    return Error(Code::kInternal, "{} (remembered from an earlier try; touch the file for another)",
                 verdict->reason);
  }
  MNW_ASSIGN(const std::string sha256, Sha256(library_path));
  MNW_TRY(CheckSha256(sha256, manifest));
  Status status = Probe(library_path, options.probe);
  // An orderly refusal costs little and may be about something else, such as a driver that is
  // missing today; a crash or a hang is not repeated.
  if (status.ok() || status.code() == Code::kInternal) {
    StoreVerdict(options.cache_dir, key, {sha256, status.message()});
  }
  return status;
}

// The floating-point environment, as it was. Constructors of a library built with -ffast-math set
// flush to zero for the whole thread.
class KeepFloatEnvironment {
 public:
  KeepFloatEnvironment() { std::fegetenv(&saved_); }
  ~KeepFloatEnvironment() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
};

// "... (dlerror system message: REASON): Bad file descriptor" -> REASON
std::string DlReason(std::string_view what) {
  constexpr std::string_view kBefore = "dlerror system message: ";
  if (const size_t at = what.find(kBefore); at != what.npos) {
    what.remove_prefix(at + kBefore.size());
    what = what.substr(0, what.rfind(')'));
  }
  return Printable(what, 1000);
}

Status Breach(std::string_view what) {
  return Error(Code::kInvalid, "{}, against the plugin contract", what);
}

// Every entry that is not optional, see backend.h.
Status CheckBackend(const mnw_backend* b) {
  if (!b) return Breach("its manifest says 'backend', but it offers none for this ABI");
  if (!MNW_HAS(b, mnw_backend, run)) {
    return Breach("its mnw_backend is too short for its mandatory entries");
  }
  if (b->size > kMaxTable) return Breach("its mnw_backend claims an absurd size");
  const struct {
    const char* name;
    bool present;
  } entries[] = {
      {"device_count", b->device_count != nullptr},
      {"device_info", b->device_info != nullptr},
      {"open", b->open != nullptr},
      {"close", b->close != nullptr},
      {"claim", b->claim != nullptr},
      {"load_weights", b->load_weights != nullptr},
      {"free_weights", b->free_weights != nullptr},
      {"plan", b->plan != nullptr},
      {"free_plan", b->free_plan != nullptr},
      {"run", b->run != nullptr},
  };
  for (const auto& entry : entries) {
    if (!entry.present) return Breach(fmt::format("its mnw_backend.{} is NULL", entry.name));
  }
  if (MNW_HAS(b, mnw_backend, state_free) && b->state_create && !b->state_free) {
    return Breach("its mnw_backend.state_free is NULL though state_create is there");
  }
  return Status();
}

Status CheckArchs(const mnw_arch_list* list) {
  if (!list) return Breach("its manifest says 'models', but it offers none for this ABI");
  if (!MNW_HAS(list, mnw_arch_list, archs)) return Breach("its mnw_arch_list is too short");
  if (list->n > kMaxArchs || (list->n && !list->archs)) {
    return Breach(fmt::format("its mnw_arch_list of {} has no array that long", list->n));
  }
  for (const mnw_arch* arch : std::span(list->archs, list->n)) {
    if (!arch || !MNW_HAS(arch, mnw_arch, build)) {
      return Breach("one of its mnw_arch is NULL or too short");
    }
    if (!arch->id || !*arch->id || !arch->build) {
      return Breach("one of its mnw_arch lacks its id or build");
    }
  }
  return Status();
}

template <class Call>
auto Caught(const char* what, Call&& call) -> Result<decltype(call())> {
  try {
    return call();
  } catch (const std::exception& e) {
    return Error(Code::kInvalid, "{} threw an exception: {}", what, Printable(e.what(), 200));
  } catch (...) {
    return Error(Code::kInvalid, "{} threw an exception", what);
  }
}

Result<mnw_plugin_entry_fn> OpenEntry(const std::string& library_path) {
  namespace load_mode = boost::dll::load_mode;
  // RTLD_NODELETE: closing the handle below does not unload.
  const auto mode =
      static_cast<load_mode::type>(load_mode::rtld_now | load_mode::rtld_local | RTLD_NODELETE);
  try {
    const boost::dll::shared_library library(std::filesystem::path(library_path), mode);
    if (!library.has(MNW_PLUGIN_ENTRY_NAME)) {
      return Error(Code::kInvalid, "exports no symbol {}", MNW_PLUGIN_ENTRY_NAME);
    }
    return &library.get<const mnw_plugin*()>(MNW_PLUGIN_ENTRY_NAME);
  } catch (const std::exception& e) {
    return Error(Code::kInvalid, "cannot be opened: {}", DlReason(e.what()));
  } catch (...) {
    return Error(Code::kInvalid, "cannot be opened: its constructor threw an exception");
  }
}

}  // namespace

Result<Manifest> Examine(const std::string& library_path, const LoaderOptions& options) {
  const std::string manifest_path = ManifestPath(library_path);
  auto manifest = ReadManifest(manifest_path);
  if (!manifest.ok()) return std::move(manifest).status().Annotate("manifest");
  MNW_TRY(CheckTrustedFile(library_path));
  MNW_TRY(CheckTrustedFile(manifest_path));
  MNW_TRY(CheckFitsHost(*manifest));
  MNW_TRY(TryOnce(library_path, *manifest, options));
  return manifest;
}

Result<LoadedPlugin> OpenLibrary(const std::string& library_path, const Manifest& manifest) {
  const KeepFloatEnvironment keep;
  MNW_ASSIGN(const mnw_plugin_entry_fn entry, OpenEntry(library_path));
  MNW_ASSIGN(const mnw_plugin* plugin, Caught(MNW_PLUGIN_ENTRY_NAME, entry));
  if (!plugin) return Breach(MNW_PLUGIN_ENTRY_NAME " returned NULL");
  return CheckTables(*plugin, manifest);
}

Result<LoadedPlugin> CheckTables(const mnw_plugin& p, const Manifest& manifest) {
  if (!MNW_HAS(&p, mnw_plugin, abi_minor) || p.size > kMaxTable) {
    return Breach(fmt::format("its mnw_plugin claims a size of {} bytes", p.size));
  }
  if (p.abi_major != MNW_ABI_MAJOR || p.abi_minor != MNW_ABI_MINOR) {
    return Error(Code::kUnsupported,
                 "its table is of ABI {}.{}, this host speaks {}.{}; rebuild the plugin",
                 p.abi_major, p.abi_minor, MNW_ABI_MAJOR, MNW_ABI_MINOR);
  }
  if (!MNW_HAS(&p, mnw_plugin, archs)) return Breach("its mnw_plugin is too short");
  if (!p.id || p.id != manifest.id) {
    return Breach(fmt::format("its id is '{}', the manifest says '{}'",
                              p.id ? Printable(p.id) : "NULL", manifest.id));
  }
  if (!p.version || !p.license) return Breach("its version or license is NULL");

  LoadedPlugin loaded;
  loaded.plugin = &p;
  if (manifest.kind == "backend") {
    if (p.backend) {
      MNW_ASSIGN(loaded.backend,
                 Caught("mnw_plugin.backend", [&] { return p.backend(MNW_ABI_MINOR); }));
    }
    MNW_TRY(CheckBackend(loaded.backend));
  } else {
    if (p.archs) {
      MNW_ASSIGN(loaded.archs, Caught("mnw_plugin.archs", [&] { return p.archs(MNW_ABI_MINOR); }));
    }
    MNW_TRY(CheckArchs(loaded.archs));
  }
  return loaded;
}

}  // namespace minnow::plugins
