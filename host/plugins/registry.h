// The plugins found on this machine: which are usable, and for the others, why not.
//
// Scan looks at manifests, trust and verdicts (loader.h) and opens no library in this process; a
// library is opened when a device or an architecture of it is first asked for, and stays open for
// good. One file that is wrong never hides another: it is listed with its reason. Of two plugins
// with one id the first in the order of directories, then of file names, wins; so does the first
// backend with a device of some name, and the first architecture of one. Threads: one at a time
// ([load]); devices and architectures may be used after the registry is gone.
#pragma once

#include <minnow/abi/plugin.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "plugins/device.h"
#include "plugins/loader.h"

namespace minnow::plugins {

struct RegistryOptions {
  std::vector<std::string>
      directories;  // absolute, in order of preference; absent ones are skipped
  LoaderOptions loader;

  // `directories`, then MINNOW_PLUGIN_PATH (not for privileged processes), then <exe>/../plugins (a
  // build tree) and, seen from the executable, where installing put lib/minnow/plugins; the probe
  // beside the executable or in the installed libexec/minnow; verdicts below XDG_CACHE_HOME or
  // ~/.cache.
  static RegistryOptions FromEnvironment(std::vector<std::string> directories = {});
};

enum class PluginState {
  kRefused,    // `reason` says why
  kAvailable,  // fit to be loaded, not needed so far
  kLoaded,
};

struct Found {
  std::string path;  // of the library, or of a directory that is refused whole
  std::string id;    // of the manifest; empty if that could not be read
  std::string kind;  // "backend" or "models"
  PluginState state = PluginState::kRefused;
  std::string reason;  // on a loaded one, what of the process's state it changed
};

class Registry {
 public:
  static Registry Scan(const RegistryOptions& options);

  std::span<const Found> plugins() const { return found_; }

  // Opens every usable plugin, for those who want to see that it works.
  void LoadAll();

  // Every device of every usable backend, in order of preference. A backend that cannot describe
  // its devices becomes kRefused.
  std::vector<DeviceInfo> Devices();

  // "cpu", "cuda0", or with the backend's own settings: "cpu:isa=avx2,threads=2". The setting
  // `threads` is every backend's and wins over n_threads (0: the backend's choice).
  Result<Device> OpenDevice(std::string_view spec, uint32_t n_threads = 0);

  // The architecture of that general.architecture; lives as long as the process.
  Result<const mnw_arch*> FindArch(std::string_view id);

  // One line per file, for `minnow plugins --why`; and the same as a JSON array.
  std::string WhyText() const;
  std::string WhyJson() const;

 private:
  struct BackendDevice {
    size_t plugin;  // of found_
    const mnw_backend* backend;
    uint32_t number;
    DeviceInfo info;
  };

  void ScanDirectory(const std::string& directory, const LoaderOptions& options);
  void Add(Candidate candidate, const Status& status);
  Status CheckNewId(std::string_view id) const;
  void Refuse(size_t i, const Status& why);
  // found_[i] opened, at first use. Null if it is refused or of another kind.
  const LoadedPlugin* Load(size_t i, std::string_view kind);
  Status AppendDevices(size_t plugin, std::vector<BackendDevice>* devices) const;
  std::vector<BackendDevice> FindDevices();
  std::string Refusals(std::string_view kind) const;  // "; refused: a.so (why), b.so (why)" or ""

  std::vector<Found> found_;
  std::vector<Candidate> candidates_;  // beside found_
  std::vector<LoadedPlugin> loaded_;   // beside found_, filled by Load
};

}  // namespace minnow::plugins
