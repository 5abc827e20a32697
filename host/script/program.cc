#include "script/program.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <lua.hpp>
#include <memory>
#include <sstream>
#include <utility>

#include "base/sha256.h"

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

int Append(lua_State*, const void* data, size_t size, void* out) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
  return 0;
}

}  // namespace

Result<Chunk> Compile(std::string_view source, const std::string& chunk_name) {
  const std::unique_ptr<lua_State, decltype(&lua_close)> L(luaL_newstate(), &lua_close);
  if (!L) return Error(Code::kExhausted, "no memory for a Lua state");
  if (luaL_loadbufferx(L.get(), source.data(), source.size(), chunk_name.c_str(), "t") != LUA_OK) {
    return Error(Code::kInvalid, "{}", lua_tostring(L.get(), -1));
  }
  Chunk chunk{chunk_name, "", Sha256Hex(source)};
  lua_dump(L.get(), Append, &chunk.bytecode, /*strip=*/0);
  return chunk;
}

Result<Program> Program::Load(const std::string& path) {
  MNW_ASSIGN(const std::string source, ReadSource(path));
  MNW_ASSIGN(Chunk main, Compile(source, "@" + path));
  return Program(path, std::move(main));
}

std::string Program::HashOf(const std::string& path) {
  const auto source = ReadSource(path);
  return source.ok() ? Sha256Hex(*source) : "";
}

Result<Program> Program::BuiltIn(const std::string& path, std::string_view source) {
  MNW_ASSIGN(Chunk main, Compile(source, kEmbeddedChunkName));
  return Program(path, std::move(main));
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
  return all;
}

Result<Program::Module> Program::LoadModule(const std::string& name) {
  for (const EmbeddedScript& script : EmbeddedScripts()) {
    if (script.module != name) continue;
    MNW_ASSIGN(Chunk chunk, Compile(script.source, kEmbeddedChunkName));
    return Module{std::move(chunk), true};
  }
  if (!IsModuleName(name)) {
    return Error(
        Code::kInvalid,
        "require: '{}' is no module's name (letters, digits, _ and -, dots between folders)", name);
  }
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
  MNW_ASSIGN(const std::string source, ReadSource(file.string()));
  sha256 = Sha256Hex(source);
  MNW_ASSIGN(Chunk chunk,
             Compile(source, "@" + file.lexically_proximate(fs::current_path(error)).string()));
  return Module{std::move(chunk), false};
}

}  // namespace minnow::script
