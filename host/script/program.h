// A script file and what it may require, compiled once and run in as many states as there are
// documents.
//
// `require` finds the library that is built in ("minnow", from scripts/) and the Lua files in the
// folder of the script itself and below it: "fields.dates" is fields/dates.lua. A module is read
// and compiled when it is first asked for, so that every document sees the same one. All sources
// are text; the compiled form is made here and leaves this process never. Threads: one at a time.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "script/calibration.h"

namespace minnow::script {

struct Chunk {
  std::string name;      // as Lua's messages show it: "@" and a path, "=" and a name
  std::string bytecode;  // with line numbers
  std::string sha256{};  // of the source, if it is a file's
};

inline constexpr size_t kMaxSourceBytes = 1 << 20;

Result<Chunk> Compile(std::string_view source, const std::string& chunk_name);

// The files of scripts/, put into the program by the build; stubs (.d.lua) excepted.
struct EmbeddedScript {
  std::string_view module;
  std::string_view source;
};
std::span<const EmbeddedScript> EmbeddedScripts();
inline constexpr const char* kEmbeddedChunkName = "=[minnow]";

// Where the text of a program comes from: its folder, or whoever may read it.
class Sources {
 public:
  // What was read so far: paths and SHA-256 of the text; "" for a file that could not be read.
  using Files = std::map<std::string, std::string>;
  struct Source {
    std::string text, chunk_name, sha256{};
  };
  static constexpr const char* kCalibration = "*calibration";  // no module can be called so
  virtual ~Sources() = default;
  virtual const std::string& path() const = 0;  // of the script
  // Of a module, or of the script itself, whose name is "", or of what its questions were
  // calibrated with, kCalibration: "" if they were not. Refusals: kInvalid (no name of a module),
  // kNotFound.
  virtual Result<Source> Read(const std::string& module) = 0;
  virtual const Files& files() const = 0;
};
std::unique_ptr<Sources> SourcesInFolderOf(const std::string& path);  // load.cc

Status CheckModuleName(std::string_view name);

class Program {
 public:
  static Result<Program> Load(std::unique_ptr<Sources> sources);
  static Result<Program> Load(const std::string& path) { return Load(SourcesInFolderOf(path)); }
  // A script of this program's own, with modules as if it were the file at `path`.
  static Result<Program> BuiltIn(const std::string& path, std::string_view source);

  const std::string& path() const { return sources_->path(); }
  const Chunk& main() const { return main_; }
  const Calibrations& calibrations() const { return calibrations_; }
  // What was required so far of the script's own folder, and its calibration: name and SHA-256 of
  // the source.
  std::vector<std::pair<std::string, std::string>> modules() const;

  using Files = Sources::Files;
  const Files& files() const { return sources_->files(); }
  static std::string HashOf(const std::string& path);

  struct Module {
    Chunk chunk;
    bool embedded = false;
  };
  // Valid as long as the program. Refusals: kInvalid (no name of a module, syntax), kNotFound.
  Result<const Module*> Find(const std::string& name);

 private:
  Program(std::unique_ptr<Sources> sources, Chunk main)
      : sources_(std::move(sources)), main_(std::move(main)) {}
  Status LoadCalibrations();
  Result<Module> LoadModule(const std::string& name) const;

  std::unique_ptr<Sources> sources_;
  Chunk main_;
  std::map<std::string, Module> modules_;
  Calibrations calibrations_;
  std::string calibration_sha256_;  // "": there is none
};

}  // namespace minnow::script
