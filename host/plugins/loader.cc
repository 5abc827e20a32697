#include "plugins/loader.h"

#include <dlfcn.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>
#include <cstring>
#include <exception>
#include <filesystem>
#include <set>
#include <span>
#include <string_view>

#include "base/process_state.h"
#include "formats/printable.h"
#include "plugins/trust.h"
#include "plugins/verdicts.h"

namespace minnow::plugins {
namespace {

using formats::Printable;

// Far above any table of this major version; what claims more is no table.
constexpr uint32_t kMaxTable = 64 * 1024;
constexpr uint32_t kMaxArchs = 4096;
constexpr size_t kMaxText = 256;

Status CheckSha256(const std::string& actual, const Manifest& manifest) {
  if (actual == manifest.sha256) return Status();
  return Error(Code::kCorrupt,
               "its sha256 is {}, not {} as the manifest says; reinstall or rebuild it", actual,
               manifest.sha256);
}

Status CheckStamp(const Candidate& candidate) {
  MNW_ASSIGN(const FileStamp now, FileStamp::Of(candidate.path));
  if (now == candidate.stamp) return Status();
  return Error(Code::kUnavailable, "was replaced since it was examined; start again");
}

Status TryOnce(const Candidate& candidate, const LoaderOptions& options) {
  MNW_ASSIGN(const VerdictKey key,
             VerdictKey::Of(candidate.path, candidate.stamp, options.probe.program));
  if (const auto verdict = FindVerdict(options.cache_dir, key)) {
    MNW_TRY(CheckSha256(verdict->sha256, candidate.manifest));
    if (verdict->reason.empty()) return Status();
    return Error(Code::kInternal, "{} (remembered from an earlier try; remove '{}' for another)",
                 verdict->reason, VerdictFile(options.cache_dir, candidate.path));
  }
  MNW_ASSIGN(const OpenFile library, OpenFile::Open(candidate.path));
  MNW_ASSIGN(const std::string sha256, library.Sha256());
  MNW_TRY(CheckSha256(sha256, candidate.manifest));
  Status status = Probe(candidate.path, options.probe);
  MNW_TRY(CheckStamp(candidate));  // else it is unknown what was tried
  // An orderly refusal costs little and may be about something else, such as a driver that is
  // missing today; a crash or a hang is not repeated.
  if (status.ok() || status.code() == Code::kInternal) {
    StoreVerdict(options.cache_dir, key, {sha256, status.message()});
  }
  return status;
}

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

// A pointer of a plugin's to a struct of T that has at least the field that ends at `end`.
template <class T>
Status CheckStruct(const T* p, const char* name, size_t end) {
  if (reinterpret_cast<uintptr_t>(p) % alignof(T) != 0) {
    return Breach(fmt::format("its {} is misaligned", name));
  }
  if (p->size < end || p->size > kMaxTable) {
    return Breach(
        fmt::format("its {} claims a size of {} bytes, {} are needed", name, p->size, end));
  }
  return Status();
}
#define CHECK_STRUCT(p, T, last) CheckStruct(p, #T, offsetof(T, last) + sizeof((p)->last))

// Text that a plugin points to; one without an end is not followed far.
Result<std::string> Text(const char* text, const char* name) {
  if (!text) return Breach(fmt::format("its {} is NULL", name));
  const size_t n = ::strnlen(text, kMaxText + 1);
  if (n == 0) return Breach(fmt::format("its {} is empty", name));
  if (n > kMaxText) {
    return Breach(fmt::format("its {} does not end within {} bytes", name, kMaxText));
  }
  return std::string(text, n);
}

struct Entry {
  const char* name;
  bool present;
};
#define ENTRY(b, entry) \
  { #entry, MNW_HAS(b, mnw_backend, entry) && (b)->entry }

Status CheckEntries(std::span<const Entry> entries, const char* needed_by) {
  for (const Entry& entry : entries) {
    if (!entry.present) {
      return Breach(fmt::format("its mnw_backend.{} is NULL{}", entry.name, needed_by));
    }
  }
  return Status();
}

// Every entry that is not optional, see backend.h, and those that an optional one cannot do
// without.
Status CheckBackend(const mnw_backend* b) {
  if (!b) return Breach("its manifest says 'backend', but it offers none for this ABI");
  MNW_TRY(CHECK_STRUCT(b, mnw_backend, run));
  const Entry mandatory[] = {ENTRY(b, device_count), ENTRY(b, device_info), ENTRY(b, open),
                             ENTRY(b, close),        ENTRY(b, claim),       ENTRY(b, load_weights),
                             ENTRY(b, free_weights), ENTRY(b, plan),        ENTRY(b, free_plan),
                             ENTRY(b, run)};
  MNW_TRY(CheckEntries(mandatory, ""));
  if (MNW_HAS(b, mnw_backend, state_create) && b->state_create) {
    const Entry state[] = {ENTRY(b, state_free), ENTRY(b, state_edit), ENTRY(b, state_commit)};
    MNW_TRY(CheckEntries(state, " though state_create is there"));
  }
  if (MNW_HAS(b, mnw_backend, adapters_create) && b->adapters_create) {
    const Entry adapters[] = {ENTRY(b, adapters_set), ENTRY(b, adapters_free)};
    MNW_TRY(CheckEntries(adapters, " though adapters_create is there"));
  }
  if (MNW_HAS(b, mnw_backend, buffer_create) && b->buffer_create) {
    const Entry buffers[] = {ENTRY(b, buffer_free), ENTRY(b, buffer_read), ENTRY(b, buffer_write)};
    MNW_TRY(CheckEntries(buffers, " though buffer_create is there"));
  }
  return Status();
}

Status CheckArchs(const mnw_arch_list* list) {
  if (!list) return Breach("its manifest says 'models', but it offers none for this ABI");
  MNW_TRY(CHECK_STRUCT(list, mnw_arch_list, archs));
  if (list->n > kMaxArchs || (list->n && !list->archs)) {
    return Breach(fmt::format("its mnw_arch_list of {} has no array that long", list->n));
  }
  std::set<std::string> ids;
  for (const mnw_arch* arch : std::span(list->archs, list->n)) {
    if (!arch) return Breach("one of its mnw_arch is NULL");
    MNW_TRY(CHECK_STRUCT(arch, mnw_arch, build));
    MNW_ASSIGN(const std::string id, Text(arch->id, "mnw_arch.id"));
    if (!arch->build) return Breach(fmt::format("its '{}' has no build", Printable(id)));
    if (!ids.insert(id).second) return Breach(fmt::format("it has '{}' twice", Printable(id)));
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

Result<Candidate> Unexamined(const std::string& library_path) {
  Candidate candidate;
  candidate.path = library_path;
  auto manifest = ReadManifest(ManifestPath(library_path));
  if (!manifest.ok()) return std::move(manifest).status().Annotate("manifest");
  candidate.manifest = *std::move(manifest);
  MNW_ASSIGN(candidate.stamp, FileStamp::Of(library_path));
  return candidate;
}

Result<Candidate> Examine(const std::string& library_path, const LoaderOptions& options) {
  const std::string manifest_path = ManifestPath(library_path);
  MNW_TRY(CheckTrustedFile(library_path));
  if (std::error_code error; !std::filesystem::exists(manifest_path, error)) {
    return Error(Code::kNotFound, "has no manifest '{}' beside it", manifest_path);
  }
  MNW_TRY(CheckTrustedFile(manifest_path));
  MNW_ASSIGN(Candidate candidate, Unexamined(library_path));
  MNW_TRY(CheckFitsHost(candidate.manifest));
  MNW_TRY(TryOnce(candidate, options));
  return candidate;
}

Result<LoadedPlugin> OpenLibrary(const Candidate& candidate) {
  const ProcessState before;
  const auto open = [&]() -> Result<LoadedPlugin> {
    MNW_TRY(CheckStamp(candidate));
    MNW_ASSIGN(const mnw_plugin_entry_fn entry, OpenEntry(candidate.path));
    MNW_TRY(
        CheckStamp(candidate));  // only its owner can have been that quick: no attack, a mistake
    MNW_ASSIGN(const mnw_plugin* plugin, Caught(MNW_PLUGIN_ENTRY_NAME, entry));
    if (!plugin) return Breach(MNW_PLUGIN_ENTRY_NAME " returned NULL");
    return CheckTables(*plugin, candidate.manifest);
  };
  Result<LoadedPlugin> loaded = open();
  const std::string changed = before.Restore();
  if (loaded.ok() && !changed.empty()) {
    loaded->remark = fmt::format("changed {} while it was loaded; put back", changed);
  }
  return loaded;
}

Result<LoadedPlugin> CheckTables(const mnw_plugin& p, const Manifest& manifest) {
  MNW_TRY(CHECK_STRUCT(&p, mnw_plugin, abi_minor));
  if (Status s = CheckAbi(p.abi_major, p.abi_minor); !s.ok()) {
    return std::move(s).Annotate("its table");
  }
  MNW_TRY(CHECK_STRUCT(&p, mnw_plugin, archs));
  MNW_ASSIGN(const std::string id, Text(p.id, "mnw_plugin.id"));
  if (id != manifest.id) {
    return Breach(
        fmt::format("its id is '{}', the manifest says '{}'", Printable(id), manifest.id));
  }
  MNW_TRY(Text(p.version, "mnw_plugin.version").status());
  MNW_TRY(Text(p.license, "mnw_plugin.license").status());

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
