// Lua's own libraries as a script sees them.
//
// Not there: io, debug, package, dofile, loadfile, collectgarbage, string.dump, and of os all but
// the clock. Changed: pcall and xpcall let the end of a budget through; load takes text only;
// setmetatable refuses __gc, since budgets do not count inside finalizers; math.random starts from
// the same seed in every document.
#include <cstdio>

#include "script/lua_modules.h"
#include "script/state.h"

namespace minnow::script {
namespace {

int FinishProtected(lua_State* L, int status, lua_KContext n_before) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - static_cast<int>(n_before);
  if (State::From(L).Breached(status)) return lua_error(L);
  lua_pushboolean(L, 0);
  lua_pushvalue(L, -2);
  return 2;
}

int ProtectedCall(lua_State* L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  const int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, FinishProtected);
  return FinishProtected(L, status, 0);
}

// The message handler of xpcall. Hooks are off while one that raised is being handled, so a
// script's handler that runs at the end of a budget would have none.
int HandleMessage(lua_State* L) {
  if (State::From(L).Breached(LUA_OK)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

// xpcall(f, handler, ...): the stack becomes f, handler, true, f, ...
int ProtectedCallWithHandler(lua_State* L) {
  const int n = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, HandleMessage, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  const int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, FinishProtected);
  return FinishProtected(L, status, 2);
}

int Load(lua_State* L) {
  size_t size;
  if (!lua_isstring(L, 1)) return luaL_argerror(L, 1, "the text of a chunk expected");
  const char* text = lua_tolstring(L, 1, &size);
  const char* name = luaL_optstring(L, 2, text);
  const bool has_environment = !lua_isnone(L, 4);  // load(text, name, mode, environment)
  if (const int status = luaL_loadbufferx(L, text, size, name, "t")) {
    if (State::From(L).Breached(status)) return lua_error(L);
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (has_environment) {
    lua_pushvalue(L, 4);
    if (!lua_setupvalue(L, -2, 1)) lua_pop(L, 1);
  }
  return 1;
}

int SetMetatable(lua_State* L) {
  const int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) {
    return luaL_error(L, "cannot change a protected metatable");
  }
  if (type == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "finalizers (__gc) are not available");
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

// Lua's string.rep repeats an empty string as often as it is told.
int Repeat(lua_State* L) {
  size_t size, separator_size;
  luaL_checklstring(L, 1, &size);
  luaL_optlstring(L, 3, "", &separator_size);
  if (size + separator_size == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

int Print(lua_State* L) {
  const int n = lua_gettop(L);
  std::FILE* file = State::From(L).environment().print_to;
  for (int i = 1; i <= n; ++i) {
    size_t size;
    const char* text = luaL_tolstring(L, i, &size);
    if (i > 1) std::fputc('\t', file);
    std::fwrite(text, 1, size, file);
    lua_pop(L, 1);
  }
  std::fputc('\n', file);
  return 0;
}

// Removes fields from the table on top of the stack.
void Remove(lua_State* L, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    lua_pushnil(L);
    lua_setfield(L, -2, name);
  }
}

void OpenStringLibrary(lua_State* L) {
  luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 1);
  Remove(L, {"dump"});
  lua_getfield(L, -1, "rep");
  lua_pushcclosure(L, Repeat, 1);
  lua_setfield(L, -2, "rep");
  lua_pop(L, 1);
}

void OpenMathLibrary(lua_State* L) {
  luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 1);
  lua_getfield(L, -1, "randomseed");
  lua_pushinteger(L, 0);
  lua_call(L, 1, 0);
  lua_pop(L, 1);
}

void OpenClock(lua_State* L) {
  luaL_requiref(L, LUA_OSLIBNAME, luaopen_os, 1);
  Remove(L, {"execute", "exit", "getenv", "remove", "rename", "setlocale", "tmpname"});
  lua_pop(L, 1);
}

}  // namespace

void OpenSandbox(lua_State* L) {
  luaL_requiref(L, LUA_GNAME, luaopen_base, 1);
  Remove(L, {"collectgarbage", "dofile", "loadfile", "warn"});
  constexpr luaL_Reg kChanged[] = {{"pcall", ProtectedCall}, {"xpcall", ProtectedCallWithHandler},
                                   {"load", Load},           {"setmetatable", SetMetatable},
                                   {"print", Print},         {nullptr, nullptr}};
  luaL_setfuncs(L, kChanged, 0);
  luaL_requiref(L, LUA_TABLIBNAME, luaopen_table, 1);
  luaL_requiref(L, LUA_UTF8LIBNAME, luaopen_utf8, 1);
  lua_pop(L, 3);
  OpenStringLibrary(L);
  OpenMathLibrary(L);
  OpenClock(L);
}

}  // namespace minnow::script
