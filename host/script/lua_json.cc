// minnow.json, minnow.null and minnow.array: JSON text from and to Lua values (lua_values.h).
#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

Status EncodeValue(lua_State* L, std::string& text) {
  MNW_ASSIGN(const Json value, ToJson(L, 1, "json.encode: the value"));
  text = value.dump();
  return {};
}

//---JSON, with the order and the types of values kept.
//---minnow.json = {}

//---JSON's text of a value. A table whose keys are 1 to n is a list, one whose keys are strings an
//---object, written in the order of minnow.ordered, else by name; an empty table is an object
//---unless minnow.array made it. Bytes that are no UTF-8 become U+FFFD. Raises invalid, with the
//---path, for what JSON cannot hold.
//---@param value any
//---@return string
//---function minnow.json.encode(value)
int Encode(lua_State* L) {
  luaL_checkany(L, 1);
  State& state = State::From(L);
  if (!state.Try(EncodeValue(L, state.text()))) return state.Raise(L);
  lua_pushlstring(L, state.text().data(), state.text().size());
  return 1;
}

Status DecodeText(lua_State* L, Json& value) {
  MNW_ASSIGN(const std::string_view text, ReadString(L, 1, "json.decode: the text"));
  State& state = State::From(L);
  if (!state.Spend(text.size())) return Error(Code::kExhausted, "the budget is used up");
  const size_t most = state.environment().budget.memory_bytes / sizeof(Json);
  size_t n_values = 0;
  bool too_deep = false;
  const auto check_depth = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxDepth;
    return !too_deep && ++n_values <= most;
  };
  try {
    value = Json::parse(text, check_depth);
  } catch (const Json::exception& e) {
    return Error(Code::kInvalid, "json.decode: {}", e.what());
  }
  if (too_deep)
    return Error(Code::kInvalid, "json.decode: nested deeper than {} levels", kMaxDepth);
  if (n_values > most) {
    return Error(Code::kExhausted,
                 "json.decode: more than {} values, which the memory budget "
                 "cannot hold",
                 most);
  }
  return {};
}

//---The value of a JSON text; null is minnow.null. Raises invalid for a text that is none, or
//---nested deeper than 64 levels.
//---@param text string
//---@return any
//---function minnow.json.decode(text)
int Decode(lua_State* L) {
  State& state = State::From(L);
  if (!state.Try(DecodeText(L, state.value()))) return state.Raise(L);
  PushJson(L, state.value());
  return 1;
}

// decode_ordered(text): json.decode, whose tables are written in the text's order again.
int DecodeOrdered(lua_State* L) {
  State& state = State::From(L);
  if (!state.Try(DecodeText(L, state.value()))) return state.Raise(L);
  PushOrderedJson(L, state.value());
  return 1;
}

// array(t): t, which is a list in JSON even while it is empty.
//---The list itself, which JSON writes as [] even while it is empty.
//---@generic T
//---@param list T[]
//---@return T[]
//---function minnow.array(list)

//---JSON's null, where Lua's nil would leave nothing.
//---@type lightuserdata
//---minnow.null = nil
int Array(lua_State* L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  PushArrayMetatable(L);
  lua_setmetatable(L, 1);
  return 1;
}

}  // namespace

void OpenJson(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {{"encode", Encode}, {"decode", Decode}, {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setfield(L, -2, "json");
  lua_pushcfunction(L, DecodeOrdered);
  lua_setfield(L, -2, "decode_ordered");
  lua_pushlightuserdata(L, nullptr);
  lua_setfield(L, -2, "null");
  lua_pushcfunction(L, Array);
  lua_setfield(L, -2, "array");
}

}  // namespace minnow::script
