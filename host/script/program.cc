#include "script/program.h"

#include <cctype>
#include <lua.hpp>
#include <memory>
#include <utility>

namespace minnow::script {
namespace {

// Letters, digits, _ and - in parts that dots separate: no way to name a file outside the folder.
bool IsModuleName(std::string_view name) {
  bool in_part = false;
  for (const char c : name) {
    if (c == '.' && !in_part) return false;
    in_part = c != '.';
    if (in_part && !std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-')
      return false;
  }
  return in_part;
}

int Append(lua_State*, const void* data, size_t size, void* out) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
  return 0;
}

}  // namespace

Status CheckModuleName(std::string_view name) {
  if (IsModuleName(name)) return {};
  return Error(Code::kInvalid,
               "require: '{}' is no module's name (letters, digits, _ and -, dots between folders)",
               name);
}

Result<Chunk> Compile(std::string_view source, const std::string& chunk_name) {
  const std::unique_ptr<lua_State, decltype(&lua_close)> L(luaL_newstate(), &lua_close);
  if (!L) return Error(Code::kExhausted, "no memory for a Lua state");
  if (luaL_loadbufferx(L.get(), source.data(), source.size(), chunk_name.c_str(), "t") != LUA_OK) {
    return Error(Code::kInvalid, "{}", lua_tostring(L.get(), -1));
  }
  Chunk chunk{chunk_name, ""};
  lua_dump(L.get(), Append, &chunk.bytecode, /*strip=*/0);
  return chunk;
}

Result<Program> Program::Load(std::unique_ptr<Sources> sources) {
  MNW_ASSIGN(const Sources::Source source, sources->Read(""));
  MNW_ASSIGN(Chunk main, Compile(source.text, source.chunk_name));
  main.sha256 = source.sha256;
  Program program(std::move(sources), std::move(main));
  MNW_TRY(program.LoadCalibrations());
  return program;
}

Status Program::LoadCalibrations() {
  MNW_ASSIGN(const Sources::Source source, sources_->Read(Sources::kCalibration));
  MNW_ASSIGN(calibrations_, Calibrations::Parse(source.text, CalibrationPath(path())));
  calibration_sha256_ = source.sha256;
  return {};
}

Result<const Program::Module*> Program::Find(const std::string& name) {
  auto found = modules_.find(name);
  if (found == modules_.end()) {
    MNW_ASSIGN(Module module, LoadModule(name));
    found = modules_.emplace(name, std::move(module)).first;
  }
  return &found->second;
}

std::vector<std::pair<std::string, std::string>> Program::modules() const {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [name, module] : modules_) {
    if (!module.embedded) all.emplace_back(name, module.chunk.sha256);
  }
  if (!calibration_sha256_.empty()) all.emplace_back(Sources::kCalibration, calibration_sha256_);
  return all;
}

Result<Program::Module> Program::LoadModule(const std::string& name) const {
  MNW_TRY(CheckModuleName(name));
  for (const EmbeddedScript& script : EmbeddedScripts()) {
    if (script.module != name) continue;
    MNW_ASSIGN(Chunk chunk, Compile(script.source, kEmbeddedChunkName));
    return Module{std::move(chunk), true};
  }
  MNW_ASSIGN(const Sources::Source source, sources_->Read(name));
  MNW_ASSIGN(Chunk chunk, Compile(source.text, source.chunk_name));
  chunk.sha256 = source.sha256;
  return Module{std::move(chunk), false};
}

}  // namespace minnow::script
