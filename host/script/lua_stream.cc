// model:stream: an iterator over an answer while it is being written. Leaving the loop early
// cancels the rest.
#include <utility>

#include "script/lua_model.h"
#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

const char kStreamMetatable = 0;  // its address is the registry key

Status StartStream(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "stream"));
  engine::GenerateRequest request;
  MNW_TRY(ReadGenerateOptions(L, 3, "stream", request));
  MNW_ASSIGN(request.prompt, EncodePrompt(L, 2, *model, "stream"));
  const auto deliver =
      state.Receiver<std::string>(id, [](State& state, State::CallId id, std::string piece) {
        state.AddPiece(id, std::move(piece));
      });
  request.on_token = [deliver](std::string_view text, const engine::GeneratedToken&) {
    deliver(std::string(text));
  };
  return SubmitGenerate(state, id, *model, std::move(request));
}

State::CallId& IdOfStream(lua_State* L) {
  void* id = lua_touserdata(L, 1);
  if (!id || !lua_getmetatable(L, 1)) luaL_error(L, "not a stream");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kStreamMetatable);
  if (!lua_rawequal(L, -1, -2)) luaL_error(L, "not a stream");
  lua_pop(L, 2);
  return *static_cast<State::CallId*>(id);
}

int NextPiece(lua_State* L, int, lua_KContext) {
  State& state = State::From(L);
  const State::CallId id = IdOfStream(L);
  State::Call* call = state.Find(id);
  if (!call) return 0;  // read to its end, or closed
  if (!call->pieces.empty()) {
    lua_pushlstring(L, call->pieces.front().data(), call->pieces.front().size());
    call->pieces.pop_front();
    return 1;
  }
  if (call->done) return state.Try(state.Take(id, state.value())) ? 0 : state.Raise(L);
  state.RequireWait(L, "reading a stream");
  return state.Wait(L, id, NextPiece);
}

int Next(lua_State* L) { return NextPiece(L, LUA_OK, 0); }

int Close(lua_State* L) {
  State::From(L).Forget(IdOfStream(L));
  return 0;
}

//---Iterates over an answer while it is written: `for piece in model:stream(prompt) do`. Each piece
//---waits. Leaving the loop cancels the rest.
//---@param prompt string|minnow.Message[]  -- a text to continue, or a conversation
//---@param options? minnow.GenerateOptions
//---@return fun(): string?
//---function Model:stream(prompt, options)
int Stream(lua_State* L) {
  State& state = State::From(L);
  lua_settop(L, 3);
  auto* id = static_cast<State::CallId*>(lua_newuserdatauv(L, sizeof(State::CallId), 0));
  *id = state.NewCall(L, "stream");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kStreamMetatable);
  lua_setmetatable(L, -2);
  if (!state.Try(StartStream(L, state, *id))) {
    state.Forget(*id);
    return state.Raise(L);
  }
  // What `for` wants: the iterator, two values it does not use, and what to close when the loop is
  // left.
  lua_pushnil(L);
  lua_pushnil(L);
  lua_pushvalue(L, -3);
  return 4;
}

}  // namespace

void OpenStream(lua_State* L) {
  constexpr luaL_Reg kMethods[] = {{"__call", Next}, {"__close", Close}, {nullptr, nullptr}};
  luaL_newlib(L, kMethods);
  lua_pushliteral(L, "minnow.stream");
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kStreamMetatable);
  lua_pushcfunction(L, Stream);
  lua_setfield(L, -2, "stream");
}

}  // namespace minnow::script
