// minnow.pipeline: what a pipeline file returns.
#include "script/lua_modules.h"
#include "script/lua_values.h"
#include "script/state.h"

namespace minnow::script {
namespace {

const char kPipelineMetatable = 0;  // its address is the registry key

constexpr const char* kShape = "pipeline: expected { name = \"...\", run = function(doc) ... end }";

//---What a pipeline's run gets.
//---@class minnow.Document
//---@field id string
//---@field path string  -- "" if it came from no file
//---@field text string
//---@field meta table  -- what else the input said about it

//---What a pipeline file has to return.
//---@class minnow.Pipeline

//---@class minnow.PipelineSpec
//---@field name string
//---@field run fun(document: minnow.Document): any  -- what it returns is the result, as JSON

Status CheckPipeline(lua_State* L) {
  if (!lua_istable(L, 1)) return Error(Code::kInvalid, "{}, got {}", kShape, luaL_typename(L, 1));
  bool has_name = false, has_run = false;
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    const std::string_view key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    if (key == "name" && lua_type(L, -1) == LUA_TSTRING) {
      has_name = true;
    } else if (key == "run" && lua_isfunction(L, -1)) {
      has_run = true;
    } else if (key == "name" || key == "run") {
      return Error(Code::kInvalid, "{}; '{}' is a {}", kShape, key, luaL_typename(L, -1));
    } else {
      return Error(Code::kInvalid, "pipeline: unknown option '{}' (known: name, run)", key);
    }
  }
  if (!has_name || !has_run) {
    return Error(Code::kInvalid, "{}; '{}' is missing", kShape, has_name ? "run" : "name");
  }
  return {};
}

//---What a pipeline file returns. Its top level runs once when the file is loaded, and again before
//---each document; it cannot wait. An error that run raises is the record of its document, and
//---touches no other.
//---@param spec minnow.PipelineSpec
//---@return minnow.Pipeline
//---function minnow.pipeline(spec)
int Pipeline(lua_State* L) {
  State& state = State::From(L);
  if (!state.Try(CheckPipeline(L))) return state.Raise(L);
  lua_settop(L, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kPipelineMetatable);
  lua_setmetatable(L, 1);
  return 1;
}

}  // namespace

bool IsPipeline(lua_State* L, int index) {
  if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kPipelineMetatable);
  const bool is_pipeline = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is_pipeline;
}

void OpenPipeline(lua_State* L) {
  lua_newtable(L);
  lua_pushliteral(L, "minnow.pipeline");
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kPipelineMetatable);
  lua_pushcfunction(L, Pipeline);
  lua_setfield(L, -2, "pipeline");
}

}  // namespace minnow::script
