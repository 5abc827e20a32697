// What makes up a script's world. Each function lives in the file of its name, lua_<area>.cc, and
// is declared to editors in scripts/minnow.d.lua. All may raise: State::Create calls them
// protected.
#pragma once

#include <lua.hpp>

#include "script/program.h"

namespace minnow::script {

void OpenSandbox(lua_State* L);    // sandbox.cc: Lua's own libraries, less what is not granted
void OpenPatterns(lua_State* L);   // adds to the string library on top of the stack
void OpenCoroutine(lua_State* L);  // the coroutine library, whose coroutines may wait for calls
void OpenRequire(lua_State* L);    // require; takes the table of native functions from the stack

// These add to the table on top of the stack, which scripts/minnow.lua makes the module of.
void OpenModel(lua_State* L);
void OpenTasks(lua_State* L);
void OpenJson(lua_State* L);
void OpenInspect(lua_State* L);
void OpenLog(lua_State* L);
void OpenPipeline(lua_State* L);
void OpenContexts(lua_State* L);
void OpenFiles(lua_State* L);
void OpenHttp(lua_State* L);

void PushChunk(lua_State* L, const Chunk& chunk);  // the function of a compiled chunk; may raise
bool IsPipeline(lua_State* L, int index);          // made by minnow.pipeline; raises nothing

}  // namespace minnow::script
