// require: the modules of the program (program.h), each run once per state.
#include "script/lua_modules.h"
#include "script/state.h"

namespace minnow::script {
namespace {

// Upvalues of require: what has been loaded, by name, and the native functions, for embedded
// modules.
constexpr int kLoaded = 1;
constexpr int kNative = 2;

Status FindModule(State& state, const char* name, const Program::Module** module) {
  MNW_ASSIGN(*module, state.environment().program.Find(name));
  return {};
}

int Require(lua_State* L) {
  const char* name = luaL_checkstring(L, 1);
  lua_settop(L, 1);
  switch (lua_getfield(L, lua_upvalueindex(kLoaded), name)) {
    case LUA_TNIL:
      break;
    case LUA_TLIGHTUSERDATA:
      return luaL_error(L, "require: module '%s' requires itself, or has failed before", name);
    default:
      return 1;
  }
  State& state = State::From(L);
  const Program::Module* module = nullptr;
  if (!state.Try(FindModule(state, name, &module))) return state.Raise(L);

  lua_pushlightuserdata(L, nullptr);  // while it is being loaded
  lua_setfield(L, lua_upvalueindex(kLoaded), name);
  PushChunk(L, module->chunk);
  lua_pushvalue(L, module->embedded ? lua_upvalueindex(kNative) : 1);
  lua_call(L, 1, 1);
  if (lua_isnil(L, -1)) {
    lua_pushboolean(L, 1);
    lua_replace(L, -2);
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, lua_upvalueindex(kLoaded), name);
  return 1;
}

}  // namespace

void PushChunk(lua_State* L, const Chunk& chunk) {
  const std::string& code = chunk.bytecode;
  const int status = luaL_loadbufferx(L, code.data(), code.size(), chunk.name.c_str(), "b");
  if (status == LUA_OK) return;
  State::From(L).Breached(status);
  lua_error(L);
}

void OpenRequire(lua_State* L) {
  lua_newtable(L);
  lua_insert(L, -2);
  lua_pushcclosure(L, Require, 2);
  lua_setglobal(L, "require");
}

}  // namespace minnow::script
