// What scripts come from: files. None of it is in the process of an untrusted script.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "base/sha256.h"
#include "script/pipeline.h"
#include "script/program.h"
#include "script/remote_pipeline.h"
#include "script/run.h"

namespace minnow::script {
namespace {

constexpr size_t kMaxSourceBytes = 1 << 20;

Result<std::string> ReadSource(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return Error(Code::kNotFound, "{}: no such file", path);
  }
  std::ifstream file(path, std::ios::binary);
  std::string source(kMaxSourceBytes + 1, '\0');
  file.read(source.data(), static_cast<std::streamsize>(source.size()));
  if (file.bad() || !file.is_open()) {
    return Error(Code::kInvalid, "{}: {}", path, std::strerror(errno));
  }
  source.resize(static_cast<size_t>(file.gcount()));
  if (source.size() > kMaxSourceBytes) {
    return Error(Code::kInvalid, "{}: a script may have {} bytes at most", path, kMaxSourceBytes);
  }
  if (source.starts_with(
          '#')) {  // a first line for the shell; its end stays, and so do line numbers
    source.erase(0, std::min(source.find('\n'), source.size()));
  }
  return source;
}

class FolderSources : public Sources {
 public:
  explicit FolderSources(const std::string& path) : path_(path) {}
  // With this text in place of the file's.
  FolderSources(const std::string& path, std::string_view built_in)
      : path_(path), built_in_(built_in) {}

  const std::string& path() const override { return path_; }
  Result<Source> Read(const std::string& module) override;
  const Files& files() const override { return files_; }

 private:
  Result<Source> ReadCalibration();

  const std::string path_;
  const std::optional<std::string> built_in_;
  Files files_;
};

// One that comes later is a change as well.
Result<Sources::Source> FolderSources::ReadCalibration() {
  const std::string path = CalibrationPath(path_);
  if (built_in_) return Source{};
  std::string& sha256 = files_[path];
  auto text = ReadSource(path);
  if (text.status().code() == Code::kNotFound) return Source{};
  MNW_TRY(text.status());
  sha256 = Sha256Hex(*text);
  return Source{*std::move(text), path, sha256};
}

Result<Sources::Source> FolderSources::Read(const std::string& name) {
  if (name.empty() && built_in_) return Source{*built_in_, kEmbeddedChunkName};
  if (name.empty()) {
    std::string& sha256 = files_[path_];
    MNW_ASSIGN(std::string text, ReadSource(path_));
    sha256 = Sha256Hex(text);
    return Source{std::move(text), "@" + path_, sha256};
  }
  if (name == kCalibration) return ReadCalibration();
  MNW_TRY(CheckModuleName(name));
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::weakly_canonical(fs::path(path_), error).parent_path();
  std::string relative = name;
  std::replace(relative.begin(), relative.end(), '.', '/');
  const fs::path file = fs::weakly_canonical(folder / (relative + ".lua"), error);
  const bool inside =
      std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
  // Not canonical: a link in it that points elsewhere later is a change.
  std::string& sha256 =
      files_[(fs::path(path_).parent_path() / (relative + ".lua")).lexically_normal().string()];
  if (error || !inside || !fs::is_regular_file(file, error)) {
    return Error(Code::kNotFound, "require: no module '{}': neither built in nor at {}/{}.lua",
                 name, folder.string(), relative);
  }
  MNW_ASSIGN(std::string text, ReadSource(file.string()));
  sha256 = Sha256Hex(text);
  return Source{std::move(text), "@" + file.lexically_proximate(fs::current_path(error)).string(),
                sha256};
}

}  // namespace

std::unique_ptr<Sources> SourcesInFolderOf(const std::string& path) {
  return std::make_unique<FolderSources>(path);
}

std::string Program::HashOf(const std::string& path) {
  const auto source = ReadSource(path);
  return source.ok() ? Sha256Hex(*source) : "";
}

Result<Program> Program::BuiltIn(const std::string& path, std::string_view source) {
  return Load(std::make_unique<FolderSources>(path, source));
}

Result<std::unique_ptr<Pipeline>> Pipeline::Load(const std::string& path, Models& models,
                                                 Loop& loop, const PipelineOptions& options,
                                                 Program::Files* files) {
  // Before it is read, so that a change meanwhile is one.
  if (files) *files = {{path, Program::HashOf(path)}};
  if (options.untrusted) return LoadRemotePipeline(path, models, loop, options, files);
  MNW_ASSIGN(Program program, Program::Load(path));
  MNW_ASSIGN(
      std::unique_ptr<Pipeline> pipeline,
      LocalPipeline::Load(std::move(program), models, loop, options, stderr, nullptr, files));
  return pipeline;
}

Result<ScriptEnd> RunScript(const std::string& path, std::span<const std::string> arguments,
                            Models& models, Loop& loop, const Budget& budget,
                            const Grants& grants) {
  MNW_ASSIGN(Program program, Program::Load(path));
  return RunProgram(std::move(program), arguments, models, loop, budget, grants, stdout);
}

}  // namespace minnow::script
