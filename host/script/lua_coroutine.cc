// The coroutine library, with one difference to Lua's own: a coroutine that waits for a call makes
// whoever resumed it wait as well, up to the task. Scripts see only their own yields.
#include "script/lua_modules.h"
#include "script/state.h"

namespace minnow::script {
namespace {

lua_State* CoroutineArgument(lua_State* L) {
  lua_State* coroutine = lua_tothread(L, 1);
  luaL_argexpected(L, coroutine, 1, "coroutine");
  return coroutine;
}

const char* StatusOf(lua_State* L, lua_State* coroutine) {
  if (L == coroutine) return "running";
  if (State::From(L).IsWaiting(coroutine) || State::From(L).IsTask(coroutine)) return "normal";
  switch (lua_status(coroutine)) {
    case LUA_YIELD:
      return "suspended";
    case LUA_OK: {
      lua_Debug frame;
      if (lua_getstack(coroutine, 0, &frame)) return "normal";
      return lua_gettop(coroutine) == 0 ? "dead" : "suspended";
    }
    default:
      return "dead";
  }
}

bool IsSuspended(lua_State* L, lua_State* coroutine) { return *StatusOf(L, coroutine) == 's'; }

// Moves the arguments on top of L to the coroutine. Raises nothing: the reason for a failure is
// returned.
const char* MoveArguments(lua_State* L, lua_State* coroutine, int n) {
  if (!IsSuspended(L, coroutine)) {
    return *StatusOf(L, coroutine) == 'd' ? "cannot resume dead coroutine"
                                          : "cannot resume non-suspended coroutine";
  }
  if (!lua_checkstack(coroutine, n)) return "too many arguments to resume";
  lua_xmove(L, coroutine, n);
  return nullptr;
}

// coroutine.resume(co, ...) and what coroutine.wrap returns differ in how they tell of errors.
int FailResume(lua_State* L) {
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

int StepResume(lua_State* L, lua_State* coroutine, int n_arguments);

int ContinueResume(lua_State* L, int, lua_KContext) { return StepResume(L, lua_tothread(L, 1), 0); }

int StepResume(lua_State* L, lua_State* coroutine, int n_arguments) {
  State& state = State::From(L);
  int n_results;
  const int status = state.ResumeCoroutine(L, coroutine, n_arguments, &n_results);
  if (status == State::kWaits) return state.PassWaitOn(L, coroutine, 0, ContinueResume);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(coroutine, L, 1);
    return state.Breached(status) ? lua_error(L) : FailResume(L);
  }
  luaL_checkstack(L, n_results + 1, "too many results to resume");
  lua_pushboolean(L, 1);
  lua_xmove(coroutine, L, n_results);
  return n_results + 1;
}

int Resume(lua_State* L) {
  lua_State* coroutine = CoroutineArgument(L);
  const int n = lua_gettop(L) - 1;
  if (const char* reason = MoveArguments(L, coroutine, n)) {
    lua_pushstring(L, reason);
    return FailResume(L);
  }
  return StepResume(L, coroutine, n);
}

int StepWrapped(lua_State* L, lua_State* coroutine, int n_arguments);

int ContinueWrapped(lua_State* L, int, lua_KContext) {
  return StepWrapped(L, lua_tothread(L, lua_upvalueindex(1)), 0);
}

int StepWrapped(lua_State* L, lua_State* coroutine, int n_arguments) {
  State& state = State::From(L);
  int n_results;
  const int status = state.ResumeCoroutine(L, coroutine, n_arguments, &n_results);
  if (status == State::kWaits) return state.PassWaitOn(L, coroutine, 0, ContinueWrapped);
  if (status != LUA_OK && status != LUA_YIELD) {
    // What is to be closed is closed, unless a budget is used up: hooks may be off in this
    // coroutine. One that could not even begin, for want of C's stack, has nothing to close.
    const bool has_failed = lua_status(coroutine) != LUA_OK && lua_status(coroutine) != LUA_YIELD;
    if (!state.Breached(status) && has_failed) (void)state.Breached(lua_resetthread(coroutine));
    lua_xmove(coroutine, L, 1);
    return lua_error(L);
  }
  luaL_checkstack(L, n_results, "too many results to resume");
  lua_xmove(coroutine, L, n_results);
  return n_results;
}

int CallWrapped(lua_State* L) {
  lua_State* coroutine = lua_tothread(L, lua_upvalueindex(1));
  const int n = lua_gettop(L);
  if (const char* reason = MoveArguments(L, coroutine, n)) return luaL_error(L, "%s", reason);
  return StepWrapped(L, coroutine, n);
}

// Each counts its instructions for itself, and is not looked at before it has run a hundred:
// without a price of their own, coroutines that begin coroutines would run for ever.
constexpr uint64_t kCoroutineInstructions = 200;

int Create(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  State::From(L).Charge(L, kCoroutineInstructions);
  lua_State* coroutine = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, coroutine, 1);
  return 1;
}

int Wrap(lua_State* L) {
  Create(L);
  lua_pushcclosure(L, CallWrapped, 1);
  return 1;
}

int Yield(lua_State* L) {
  if (State::From(L).IsTask(L)) return luaL_error(L, "coroutine.yield outside of a coroutine");
  return lua_yield(L, lua_gettop(L));
}

int StatusFunction(lua_State* L) {
  lua_pushstring(L, StatusOf(L, CoroutineArgument(L)));
  return 1;
}

int Running(lua_State* L) {
  lua_pushthread(L);
  lua_pushboolean(L, State::From(L).IsTask(L));
  return 2;
}

int IsYieldable(lua_State* L) {
  lua_pushboolean(L, lua_isyieldable(L) && !State::From(L).IsTask(L));
  return 1;
}

int Close(lua_State* L) {
  lua_State* coroutine = CoroutineArgument(L);
  const char* status = StatusOf(L, coroutine);
  if (*status != 's' && *status != 'd') {
    return luaL_error(L, "cannot close a %s coroutine", status);
  }
  const int error = lua_resetthread(coroutine);
  if (error == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_xmove(coroutine, L, 1);
  return State::From(L).Breached(error) ? lua_error(L) : FailResume(L);
}

}  // namespace

void OpenCoroutine(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"create", Create},
                                     {"resume", Resume},
                                     {"wrap", Wrap},
                                     {"yield", Yield},
                                     {"status", StatusFunction},
                                     {"running", Running},
                                     {"isyieldable", IsYieldable},
                                     {"close", Close},
                                     {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setglobal(L, LUA_COLIBNAME);
}

}  // namespace minnow::script
