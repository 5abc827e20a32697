// From a file in a plugin directory to a checked table in this process, in this order:
//
//   manifest -> trust -> ABI, OS, arch, CPU features -> sha256 and probe, or their cached verdict
//   Examine dlopen -> mnw_plugin_entry -> tables Open
//
// Examine runs nothing of the library in this process: the probe program opens it first, so that
// one that crashes, exits or hangs while loading costs a line of explanation. Libraries are never
// unloaded: threads, TLS and atexit handlers of theirs may outlive any reference count. Threads:
// one at a time ([load]).
#pragma once

#include <minnow/abi/plugin.h>

#include <string>

#include "base/status.h"
#include "plugins/manifest.h"
#include "plugins/probe.h"

namespace minnow::plugins {

struct LoaderOptions {
  ProbeOptions probe;
  std::string cache_dir;  // holds the file of verdicts; empty: nothing is remembered
};

// Whether the library may be opened here.
Result<Manifest> Examine(const std::string& library_path, const LoaderOptions& options);

struct LoadedPlugin {
  const mnw_plugin* plugin = nullptr;
  const mnw_backend* backend = nullptr;  // of kind "backend"
  const mnw_arch_list* archs = nullptr;  // of kind "models"
};

// Opens the library and checks its tables. REQUIRES: Examine accepted it (the probe program, which
// calls this to find out, excepted). Saves and restores the floating-point environment: a library
// built with -ffast-math would otherwise flush denormals in the whole program.
Result<LoadedPlugin> OpenLibrary(const std::string& library_path, const Manifest& manifest);

// The checks of Open on a table at hand, for plugins that are linked in.
Result<LoadedPlugin> CheckTables(const mnw_plugin& plugin, const Manifest& manifest);

}  // namespace minnow::plugins
