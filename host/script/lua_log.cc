// minnow.log: lines for people, on stderr, each with the document it is about.
#include "base/log.h"
#include "script/lua_modules.h"
#include "script/state.h"

namespace minnow::script {
namespace {

// The arguments as print shows them, as one string on top of the stack.
void JoinArguments(lua_State* L) {
  const int n = lua_gettop(L);
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= n; ++i) {
    if (i > 1) luaL_addchar(&line, ' ');
    luaL_tolstring(L, i, nullptr);
    luaL_addvalue(&line);
  }
  luaL_pushresult(&line);
}

//---Lines for people on stderr, each with the document's id; the arguments are shown as print shows
//---them. debug is shown with --verbose, info too.
//---minnow.log = {}

//---@param ... any
//---function minnow.log.debug(...)

//---@param ... any
//---function minnow.log.info(...)

//---@param ... any
//---function minnow.log.warn(...)
template <LogLevel kLevel>
int LogLine(lua_State* L) {
  JoinArguments(L);
  if (!State::From(L).MayWrite(lua_rawlen(L, -1))) return 0;
  Log(kLevel, fmt::format("{}: {}", State::From(L).label(), lua_tostring(L, -1)));
  return 0;
}

}  // namespace

void OpenLog(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"debug", LogLine<LogLevel::kDebug>},
                                     {"info", LogLine<LogLevel::kInfo>},
                                     {"warn", LogLine<LogLevel::kWarning>},
                                     {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setfield(L, -2, "log");
}

}  // namespace minnow::script
