// minnow.files: files in the folders that were granted.
#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

// Disks may be slow, so they are read on another thread.
Status Start(State& state, State::CallId id, std::function<Result<Json>()> read) {
  state.environment().loop.Work(
      [&state, id, read = std::move(read)]() -> Loop::Function {
        return [&state, id, result = read()] { state.Complete(id, result); };
      },
      state.address());
  return {};
}

Status StartRead(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(const std::string_view path, ReadString(L, 1, "files.read: the path"));
  const Environment& environment = state.environment();
  return Start(state, id, [&environment, path = std::string(path)]() -> Result<Json> {
    MNW_ASSIGN(std::string bytes,
               ReadGrantedFile(environment.grants, path, environment.budget.memory_bytes));
    return Json(std::move(bytes));
  });
}

Status StartList(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(const std::string_view path, ReadString(L, 1, "files.list: the path"));
  const Environment& environment = state.environment();
  return Start(state, id, [&environment, path = std::string(path)]() -> Result<Json> {
    MNW_ASSIGN(const std::vector<std::string> names, ListGrantedFolder(environment.grants, path));
    return Json(names);
  });
}

//---Files in the folders that were granted (`--allow read=DIR`), and in no others.
//---minnow.files = {}

//---The bytes of a file. Waits. Raises precondition for what was not granted, not_found for what is
//---not there.
//---@param path string
//---@return string
//---function minnow.files.read(path)
int Read(lua_State* L) { return State::From(L).CallAndWait(L, "files.read", StartRead); }
//---The names in a folder, sorted; those of folders end with a /. Waits, and raises as
//---minnow.files.read does.
//---@param path string
//---@return string[]
//---function minnow.files.list(path)
int List(lua_State* L) { return State::From(L).CallAndWait(L, "files.list", StartList); }

}  // namespace

void OpenFiles(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"read", Read}, {"list", List}, {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setfield(L, -2, "files");
}

}  // namespace minnow::script
