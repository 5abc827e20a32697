// From a file in a plugin directory to a checked table in this process, in this order:
//
//   Examine      trust -> manifest -> ABI, OS, arch, CPU features -> sha256 and probe, or their
//                remembered verdict
//   OpenLibrary  still the same file -> dlopen -> mnw_plugin_entry -> tables
//
// Examine runs nothing of the library in this process: the probe program opens it first, so that
// one that crashes, exits or hangs while loading costs a line of explanation. Libraries are never
// unloaded: threads, TLS and atexit handlers of theirs may outlive any reference count. Threads:
// one at a time ([load]).
#pragma once

#include <minnow/abi/plugin.h>

#include <string>

#include "base/status.h"
#include "plugins/files.h"
#include "plugins/manifest.h"
#include "plugins/probe.h"

namespace minnow::plugins {

struct LoaderOptions {
  ProbeOptions probe;
  std::string cache_dir;  // verdicts lie below; empty: nothing is remembered
};

struct Candidate {
  std::string path;  // of the library
  Manifest manifest;
  FileStamp stamp;  // of the library that was judged
};

// The library with its manifest, for child processes that open it to find out what it does.
Result<Candidate> Unexamined(const std::string& library_path);

// Whether the library may be opened here.
Result<Candidate> Examine(const std::string& library_path, const LoaderOptions& options);

struct LoadedPlugin {
  const mnw_plugin* plugin = nullptr;
  const mnw_backend* backend = nullptr;  // of kind "backend"
  const mnw_arch_list* archs = nullptr;  // of kind "models"
  std::string remark;  // for people, of what was put right; empty if nothing had to be
};

// Opens the library and checks its tables. REQUIRES: Examine accepted it, or this is a
// process that may crash. What the library changes of the process's state while it loads
// is put back: one built with -ffast-math would otherwise flush denormals in the whole program.
Result<LoadedPlugin> OpenLibrary(const Candidate& candidate);

// The checks of Open on a table at hand, for plugins that are linked in.
Result<LoadedPlugin> CheckTables(const mnw_plugin& plugin, const Manifest& manifest);

}  // namespace minnow::plugins
