// What runs at the same time: the primitive under minnow.map and minnow.all, and minnow.sleep.
#include <cmath>

#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"

namespace minnow::script {
namespace {

// More than a backend's step holds gains nothing.
constexpr uint32_t kDefaultConcurrency = 64;

int FinishWait(lua_State* L, int, lua_KContext id) {
  State& state = State::From(L);
  if (!state.Try(state.Take(static_cast<State::CallId>(id), state.value()))) return state.Raise(L);
  return 0;
}

// together(worker, n): runs n tasks of one function and waits until all of them have returned. A
// worker that raises ends the script.
int Together(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  const lua_Integer n = luaL_checkinteger(L, 2);
  State& state = State::From(L);
  state.RequireWait(L, "minnow.map");
  const State::CallId group = state.NewCall(L);
  for (lua_Integer i = 0; i < n; ++i) {
    lua_pushvalue(L, 1);
    state.Spawn(L, group);
  }
  return state.Wait(L, group, FinishWait);
}

//---@class minnow.MapOptions
//---@field concurrency? integer  -- 64; how many items are under way at once

Status ReadMapArguments(lua_State* L, uint32_t& concurrency) {
  if (!lua_istable(L, 1)) {
    return Error(Code::kInvalid, "map: the first argument should be a list, got {}",
                 luaL_typename(L, 1));
  }
  if (!lua_isfunction(L, 2)) {
    return Error(Code::kInvalid, "map: the second argument should be a function, got {}",
                 luaL_typename(L, 2));
  }
  MNW_TRY(ReadOptions(L, 3, "map", {{"concurrency", &concurrency}}));
  if (concurrency == 0)
    return Error(Code::kInvalid, "map: option 'concurrency' should be at least 1");
  return {};
}

// concurrency(list, function, options): checks the arguments of minnow.map.
int Concurrency(lua_State* L) {
  State& state = State::From(L);
  uint32_t concurrency = kDefaultConcurrency;
  if (!state.Try(ReadMapArguments(L, concurrency))) return state.Raise(L);
  lua_pushinteger(L, concurrency);
  return 1;
}

// fail(message): raises it as every other function does.
int Fail(lua_State* L) {
  State& state = State::From(L);
  state.Try(Error(Code::kInvalid, "{}", luaL_checkstring(L, 1)));
  return state.Raise(L);
}

double CheckSeconds(lua_State* L, int index) {
  const double seconds = luaL_checknumber(L, index);
  luaL_argcheck(L, seconds >= 0 && std::isfinite(seconds), index, "seconds from 0 on expected");
  return seconds;
}

// within(seconds, function): runs it as a task, which is given up when it takes longer.
int Within(lua_State* L) {
  const double seconds = CheckSeconds(L, 1);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  State& state = State::From(L);
  state.RequireWait(L, "minnow.timeout");
  const State::CallId group = state.NewCall(L);
  state.Spawn(L, group);
  state.Find(group)->timer =
      state.environment().loop.After(seconds, state.address(), [&state, group, seconds] {
        state.GiveUp(group, Error(Code::kDeadline, "timeout: it took longer than {} s", seconds));
      });
  return state.Wait(L, group, FinishWait);
}

//---Waits without holding up anyone else.
//---@param seconds number  -- from 0 on
//---function minnow.sleep(seconds)
int Sleep(lua_State* L) {
  const double seconds = CheckSeconds(L, 1);
  State& state = State::From(L);
  state.RequireWait(L, "minnow.sleep");
  const State::CallId id = state.NewCall(L);
  state.Find(id)->timer = state.environment().loop.After(
      seconds, state.address(), [&state, id] { state.Complete(id, nlohmann::ordered_json()); });
  return state.Wait(L, id, FinishWait);
}

}  // namespace

void OpenTasks(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"together", Together}, {"concurrency", Concurrency},
                                     {"within", Within},     {"sleep", Sleep},
                                     {"fail", Fail},         {nullptr, nullptr}};
  luaL_setfuncs(L, kFunctions, 0);
}

}  // namespace minnow::script
