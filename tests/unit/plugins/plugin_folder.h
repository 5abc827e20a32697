// A folder of plugins made of the libraries in bad/, with manifests of the test's choice; and the
// canary, a library that leaves a file behind when any of its code has run.
#pragma once

#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "build_paths.h"
#include "plugins/loader.h"
#include "plugins/registry.h"
#include "test_util.h"

namespace minnow::test {

inline std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline void WriteAll(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string Sha256Of(const std::string& bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int n = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &n, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < n; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

inline std::string BadPlugin(const std::string& name) {
  return InBuild("tests/bad_plugins/") + name + ".so";
}

class Canary {
 public:
  Canary() { ::setenv("MINNOW_CANARY", path_.c_str(), 1); }
  ~Canary() { ::unsetenv("MINNOW_CANARY"); }
  bool sang() const { return std::filesystem::exists(path_); }

 private:
  TempDir dir_;
  std::string path_ = dir_ / "sang";
};

class PluginFolder {
 public:
  PluginFolder() {
    // In the probe, sanitizers would catch a signal and exit instead.
    ::setenv("ASAN_OPTIONS", "handle_segv=0:handle_abort=0", 1);
    ::setenv("TSAN_OPTIONS", "handle_segv=0:handle_abort=0", 1);
    std::filesystem::create_directory(path());
    ::chmod(path().c_str(), 0755);
    options_.probe.program = InBuild("bin/minnow-probe");
    options_.probe.limit_ms = 10000;
    options_.cache_dir = root_ / "cache";
  }

  // bad/<source> as <name>.so; its path.
  std::string Add(const std::string& source, const std::string& name,
                  const nlohmann::json& changes = {}) {
    return AddBytes(ReadAll(BadPlugin(source)), name, changes);
  }

  std::string AddBytes(const std::string& bytes, const std::string& name,
                       const nlohmann::json& changes = {}) {
    const std::string library = path() + "/" + name + ".so";
    WriteAll(library, bytes);
    ::chmod(library.c_str(), 0644);
    nlohmann::json manifest = {{"id", "test"},
                               {"kind", "backend"},
                               {"abi", fmt::format("{}.{}", MNW_ABI_MAJOR, MNW_ABI_MINOR)},
                               {"os", plugins::kHostOs},
                               {"arch", plugins::kHostArch},
                               {"cpu_features", nlohmann::json::array()},
                               {"sha256", Sha256Of(bytes)}};
    if (changes.is_object()) manifest.update(changes);
    const std::string file = plugins::ManifestPath(library);
    WriteAll(file, manifest.dump());
    ::chmod(file.c_str(), 0644);
    return library;
  }

  std::string path() const { return root_ / "plugins"; }
  std::string root() const { return root_.path(); }
  plugins::LoaderOptions& options() { return options_; }
  plugins::Registry Scan() const { return plugins::Registry::Scan({{path()}, options_}); }

 private:
  TempDir root_;
  plugins::LoaderOptions options_;
};

}  // namespace minnow::test
