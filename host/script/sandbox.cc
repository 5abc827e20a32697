// Lua's own libraries as a script sees them.
//
// Not there: io, debug, package, dofile, loadfile, collectgarbage, string.dump, and of os all but
// the clock. Changed: pcall and xpcall let the end of a budget through; load takes text only;
// setmetatable refuses __gc, since budgets do not count inside finalizers; math.random starts from
// the same seed in every document; what may take long inside one instruction is counted as many
// (patterns have a file of their own).
#include <algorithm>
#include <bit>
#include <cstdio>
#include <iterator>
#include <utility>

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
  luaL_argcheck(L, size <= kMaxSourceBytes, 1, "a chunk may have 1 MiB at most");
  State::From(L).Charge(L, 10 * size);
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

int Print(lua_State* L) {
  const int n = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= n; ++i) {
    if (i > 1) luaL_addchar(&line, '\t');
    luaL_tolstring(L, i, nullptr);
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n');
  luaL_pushresult(&line);
  State& state = State::From(L);
  const size_t size = lua_rawlen(L, -1);
  if (state.MayWrite(size)) std::fwrite(lua_tostring(L, -1), 1, size, state.environment().print_to);
  return 0;
}

// --- Functions of Lua's whose one instruction may take any time: how many it is worth.

uint64_t Span(lua_Integer first, lua_Integer last) {
  return last < first ? 0 : static_cast<uint64_t>(last) - static_cast<uint64_t>(first) + 1;
}

uint64_t CostOfBytes(lua_State* L) {
  return lua_type(L, 1) == LUA_TSTRING ? lua_rawlen(L, 1) / 8 : 0;
}

// Bytes are what Allocate counts, but nothing may be written as often as one likes.
uint64_t CostOfRepeating(lua_State* L) {
  size_t size, separator_size;
  luaL_checklstring(L, 1, &size);
  luaL_optlstring(L, 3, "", &separator_size);
  const lua_Integer n = luaL_checkinteger(L, 2);
  return size + separator_size == 0 && n > 0 ? static_cast<uint64_t>(n) / 8 : 0;
}

uint64_t CostOfInserting(lua_State* L) {
  if (lua_gettop(L) != 3 || !lua_istable(L, 1)) return 0;
  return Span(luaL_checkinteger(L, 2), luaL_len(L, 1));
}

uint64_t CostOfRemoving(lua_State* L) {
  if (lua_isnoneornil(L, 2) || !lua_istable(L, 1)) return 0;
  return Span(luaL_checkinteger(L, 2), luaL_len(L, 1));
}

uint64_t CostOfMoving(lua_State* L) {
  return Span(luaL_checkinteger(L, 2), luaL_checkinteger(L, 3));
}

uint64_t CostOfJoining(lua_State* L) {
  if (!lua_istable(L, 1)) return 0;
  const lua_Integer first = luaL_optinteger(L, 3, 1);
  return Span(first, lua_isnoneornil(L, 4) ? luaL_len(L, 1) : luaL_checkinteger(L, 4));
}

// Without a function of the script's, elements are compared in C: n log n times, each as long as
// the longest of them, if they are strings.
uint64_t CostOfSorting(lua_State* L) {
  if (!lua_istable(L, 1)) return 0;
  const auto n = static_cast<uint64_t>(std::max<lua_Integer>(0, luaL_len(L, 1)));
  State::From(L).Charge(L, n);
  size_t longest = 0;
  for (uint64_t i = 1; i <= n; ++i) {
    if (lua_rawgeti(L, 1, static_cast<lua_Integer>(i)) == LUA_TSTRING) {
      longest = std::max<size_t>(longest, lua_rawlen(L, -1));
    }
    lua_pop(L, 1);
  }
  return n * static_cast<uint64_t>(std::bit_width(n)) * (1 + longest / 64);
}

constexpr struct Costly {
  const char* library;
  const char* name;
  uint64_t (*cost)(lua_State* L);
} kCostly[] = {
    {LUA_STRLIBNAME, "rep", CostOfRepeating},  {LUA_STRLIBNAME, "pack", CostOfBytes},
    {LUA_STRLIBNAME, "packsize", CostOfBytes}, {LUA_STRLIBNAME, "unpack", CostOfBytes},
    {LUA_TABLIBNAME, "concat", CostOfJoining}, {LUA_TABLIBNAME, "insert", CostOfInserting},
    {LUA_TABLIBNAME, "move", CostOfMoving},    {LUA_TABLIBNAME, "remove", CostOfRemoving},
    {LUA_TABLIBNAME, "sort", CostOfSorting},   {LUA_UTF8LIBNAME, "codepoint", CostOfBytes},
    {LUA_UTF8LIBNAME, "len", CostOfBytes},     {LUA_UTF8LIBNAME, "offset", CostOfBytes},
    {LUA_GNAME, "tonumber", CostOfBytes},
};

// Lua's own function, which has no upvalues of its own, in the frame of this one.
template <size_t kIndex>
int CallCostly(lua_State* L) {
  State::From(L).Charge(L, kCostly[kIndex].cost(L));
  return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

template <size_t... kIndices>
void CountCosts(lua_State* L, std::index_sequence<kIndices...>) {
  const auto wrap = [L](const Costly& costly, lua_CFunction call) {
    lua_getglobal(L, costly.library);
    lua_getfield(L, -1, costly.name);
    lua_pushcclosure(L, call, 1);
    lua_setfield(L, -2, costly.name);
    lua_pop(L, 1);
  };
  (wrap(kCostly[kIndices], CallCostly<kIndices>), ...);
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
  OpenPatterns(L);
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
  CountCosts(L, std::make_index_sequence<std::size(kCostly)>());
}

}  // namespace minnow::script
