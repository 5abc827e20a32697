// The manifest of a plugin library: lib.minnow.json beside lib.so, read before the library is
// opened.
//
//   {"id": "minnow.cpu", "kind": "backend", "abi": "1.0", "os": "linux", "arch": "x86_64",
//    "cpu_features": ["avx2"], "sha256": "..."}
//
// All fields but cpu_features are required, unknown ones are refused: a manifest is written by the
// build, so a field that this host does not know means a newer contract. Threads: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace minnow::plugins {

struct Manifest {
  std::string id;    // letters, digits, '.', '_', '-'
  std::string kind;  // "backend" or "models"
  uint32_t abi_major = 0, abi_minor = 0;
  std::string os, arch;
  std::vector<std::string> cpu_features;  // names of cpu_features.h
  std::string sha256;                     // of the library, 64 lower-case hex digits
};

inline constexpr std::string_view kManifestSuffix = ".minnow.json";
inline constexpr std::string_view kLibrarySuffix = ".so";

// As CMake names them; a process may run under emulation, so these are what it was compiled for.
#if defined(__linux__)
inline constexpr std::string_view kHostOs = "linux";
#elif defined(__APPLE__)
inline constexpr std::string_view kHostOs = "darwin";
#endif
#if defined(__x86_64__)
inline constexpr std::string_view kHostArch = "x86_64";
#elif defined(__aarch64__)
inline constexpr std::string_view kHostArch = "aarch64";
#endif

// "/dir/x.so" -> "/dir/x.minnow.json"
std::string ManifestPath(std::string_view library_path);

// Failures name the field. `where` leads the message.
Result<Manifest> ParseManifest(std::string_view json, std::string_view where);
Result<Manifest> ReadManifest(const std::string& path);

// Tables tell their size, so plugins of every minor version of our major one fit.
Status CheckAbi(uint32_t major, uint32_t minor);

// Whether a plugin of this ABI, OS, architecture and these CPU features can run in this process.
Status CheckFitsHost(const Manifest& manifest);

}  // namespace minnow::plugins
