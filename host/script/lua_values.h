// Lua values as JSON and back, and the options that calls take.
//
// Lua reports errors by longjmp, which runs no destructor. So what reads from Lua (ToJson,
// ReadOptions, ...) uses only those parts of Lua's API that cannot raise, keeps its C++ objects,
// and returns a Status; what pushes to Lua (PushJson) may raise, owns nothing and reads from a
// value that someone else keeps.
//
// A table whose keys are 1..n is an array, one whose keys are strings an object; an empty table is
// an object unless minnow.array made it. Objects are written in the order that minnow.ordered gave
// them, then by name, so that the same value gives the same text; Lua's own order differs from run
// to run. Integers and floats stay what they are. Bytes that are no UTF-8 become U+FFFD.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <lua.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace minnow::script {

inline constexpr int kMaxDepth = 64;  // of nested lists and tables

// `what` names the value in errors: "the result.fields[2] is a function, ...".
Result<nlohmann::ordered_json> ToJson(lua_State* L, int index, std::string_view what);

void PushJson(lua_State* L, const nlohmann::ordered_json& value);  // may raise
// The same; the tables have the order of their fields, as minnow.ordered would give it to them.
void PushOrderedJson(lua_State* L, const nlohmann::ordered_json& value);

// Pushes t[name] of the table at `index` and returns its type, or returns LUA_TNONE and pushes
// nothing. Raw, and linear in the table's size: for small tables.
int PushRawField(lua_State* L, int index, std::string_view name);

// The string at `index`; `what` describes it in the error. The view lives as long as the stack
// slot.
Result<std::string_view> ReadString(lua_State* L, int index, std::string_view what);
Result<std::vector<std::string>> ReadStrings(lua_State* L, int index, std::string_view what);

// An options table: what is not in it keeps its value. nil or nothing at `index` is an empty one.
// Refuses unknown names, wrong types and negative counts, naming the option and what `call` knows.
struct Option {
  std::string_view name;
  // A list of strings may be given as one string; JSON as any value that it can hold.
  std::variant<float*, uint32_t*, uint64_t*, bool*, std::string*, std::vector<std::string>*,
               std::optional<std::string>*, std::optional<nlohmann::ordered_json>*>
      target;
};
Status ReadOptions(lua_State* L, int index, std::string_view call,
                   std::initializer_list<Option> known);

// The names that minnow.ordered gave the table's fields, in their order. Raises nothing.
std::vector<std::string> OrderOf(lua_State* L, int table);

// The value as people read it, in Lua's notation, over several lines if it is long. Calls no
// metamethod and raises nothing. lua_inspect.cc.
std::string Inspect(lua_State* L, int index);

// The metatable of arrays, registered by OpenJson.
void PushArrayMetatable(lua_State* L);

}  // namespace minnow::script
