// minnow.model, and what a handle of a model is.
#include "script/lua_model.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

const char kModelMetatable = 0;  // its address is the registry key

// --- Handles

void PushModel(lua_State* L, ModelApi* model) {
  *static_cast<ModelApi**>(lua_newuserdatauv(L, sizeof model, 0)) = model;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kModelMetatable);
  lua_setmetatable(L, -2);
}

// model.name, else a method, which are in the upvalue.
Status NoSuchMethod(lua_State* L) {
  std::vector<std::string> names = {"name"};
  for (lua_pushnil(L); lua_next(L, lua_upvalueindex(1)); lua_pop(L, 1)) {
    names.emplace_back(lua_tostring(L, -2));
  }
  std::sort(names.begin(), names.end());
  const bool is_string = lua_type(L, 2) == LUA_TSTRING;
  return Error(Code::kInvalid, "a model has no '{}' (it has: {})",
               is_string ? lua_tostring(L, 2) : luaL_typename(L, 2), fmt::join(names, ", "));
}

//---A model that was opened. Its methods are called with a colon; an unknown one raises an error
//---that lists them.
//---@class minnow.Model
//---@field name string  -- the name that the model's file gives

int Index(lua_State* L) {
  State& state = State::From(L);
  if (lua_type(L, 2) == LUA_TSTRING && std::string_view(lua_tostring(L, 2)) == "name") {
    const std::string& name = (*static_cast<ModelApi**>(lua_touserdata(L, 1)))->name();
    lua_pushlstring(L, name.data(), name.size());
    return 1;
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  state.Try(NoSuchMethod(L));
  return state.Raise(L);
}

// --- Opening. What a handle is opened with is its key in open_models and lies on top of the stack.

using Opener = std::function<Result<ModelApi*>()>;

ModelApi* FindOpen(State& state, const char* key) {
  const auto& open = state.environment().open_models;
  const auto found = open.find(key);
  return found == open.end() ? nullptr : found->second;
}

Status AddOpen(State& state, const std::string& key, Result<ModelApi*> opened) {
  MNW_ASSIGN(state.environment().open_models[key], std::move(opened));
  return {};
}

int FinishOpen(lua_State* L, int, lua_KContext id) {
  State& state = State::From(L);
  if (!state.Try(state.Take(static_cast<State::CallId>(id), state.value()))) return state.Raise(L);
  PushModel(L, FindOpen(state, lua_tostring(L, -1)));
  return 1;
}

void StartOpen(State& state, State::CallId id, std::string key, Opener opener) {
  auto open = [&state, id, key = std::move(key), opener = std::move(opener)]() -> Loop::Function {
    return [&state, id, key, opened = opener()] {
      const Status status = AddOpen(state, key, opened);
      state.Complete(id, status.ok() ? Result<Json>(Json()) : Result<Json>(status));
    };
  };
  state.environment().loop.Work(std::move(open), state.address());
}

int PushOpened(lua_State* L, const char* what, Opener (*opener)(lua_State*, Models&)) {
  State& state = State::From(L);
  Models& models = state.environment().models;
  const char* key = lua_tostring(L, -1);
  if (!FindOpen(state, key) && !state.environment().may_block) {
    state.RequireWait(L, what);
    const State::CallId id = state.NewCall(L);
    StartOpen(state, id, key, opener(L, models));
    return state.Wait(L, id, FinishOpen);
  }
  if (!FindOpen(state, key) && !state.Try(AddOpen(state, key, opener(L, models)()))) {
    return state.Raise(L);
  }
  PushModel(L, FindOpen(state, key));
  return 1;
}

//---Opens a model, or finds it open. The top level of a file opens it when the file is loaded;
//---inside run, a name that was not opened there waits for it. Raises not_found, corrupt or
//---unsupported, with the reason.
//---@param name string  -- a file's path, or its name in the model directories
//---@return minnow.Model
//---function minnow.model(name)
int Model(lua_State* L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  return PushOpened(L, "opening a model by a name that only a document knows",
                    [](lua_State* L, Models& models) -> Opener {
                      return [&models, name = std::string(lua_tostring(L, 1))] {
                        return models.Open(name);
                      };
                    });
}

struct AdapterArguments {
  ModelApi* model;
  std::string name;
  float scale = 1;
};

//---@class minnow.AdapterOptions
//---@field scale? number  -- 1; how much of the adapter

Result<AdapterArguments> ReadAdapter(lua_State* L) {
  AdapterArguments a;
  MNW_ASSIGN(a.model, ReadModel(L, "adapter"));
  MNW_ASSIGN(a.name, ReadString(L, 2, "adapter: the name"));
  MNW_TRY(ReadOptions(L, 3, "adapter", {{"scale", &a.scale}}));
  return a;
}

Status MakeAdapterKey(lua_State* L, std::string& key) {
  MNW_ASSIGN(const AdapterArguments a, ReadAdapter(L));
  key = AdapterKey(State::From(L).environment().open_models, *a.model, a.name, a.scale);
  return {};
}

//---The same model through an adapter (LoRA). Calls through several adapters, and without any,
//---share their batches. Waits as minnow.model does. Raises invalid for a model that has an adapter
//---already. There is nothing to close: of more adapters than have places (--adapter-slots), those
//---that were not used for longest give way, and are loaded again by the next call through them.
//---@param name string  -- a file's path, or its name in the model directories
//---@param options? minnow.AdapterOptions
//---@return minnow.Model
//---function Model:adapter(name, options)
int Adapter(lua_State* L) {
  State& state = State::From(L);
  lua_settop(L, 3);
  if (!state.Try(MakeAdapterKey(L, state.text()))) return state.Raise(L);
  lua_pushlstring(L, state.text().data(), state.text().size());
  return PushOpened(L, "opening an adapter by a name that only a document knows",
                    [](lua_State* L, Models& models) -> Opener {
                      return [&models, arguments = ReadAdapter(L)]() -> Result<ModelApi*> {
                        MNW_ASSIGN(const AdapterArguments a, arguments);
                        return models.OpenAdapter(*a.model, a.name, a.scale);
                      };
                    });
}

}  // namespace

// No model's name begins with a line break. The same in every run, since it is part of what a run
// is known by.
std::string AdapterKey(const OpenModels& open, const ModelApi& base, const std::string& name,
                       float scale) {
  for (const auto& [key, model] : open) {
    if (model == &base) return fmt::format("\n{}\n{}\n{}", key, scale, name);
  }
  return fmt::format("\n\n{}\n{}", scale, name);  // no script has a handle of such a model
}

Result<ModelApi*> ReadModel(lua_State* L, std::string_view call) {
  auto* handle = static_cast<ModelApi**>(lua_touserdata(L, 1));
  bool is_model = false;
  if (handle && lua_getmetatable(L, 1)) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &kModelMetatable);
    is_model = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  if (is_model) return *handle;
  return Error(Code::kInvalid, "{0} is a method of a model: call it with a colon, model:{0}(...)",
               call);
}

void OpenModel(lua_State* L) {
  OpenChunks(L);
  lua_pushcfunction(L, Model);
  lua_setfield(L, -2, "model");

  lua_newtable(L);
  lua_newtable(L);
  OpenCalls(L);
  OpenExtract(L);
  OpenClassify(L);
  OpenStream(L);
  lua_pushcfunction(L, Adapter);
  lua_setfield(L, -2, "adapter");
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "methods");  // minnow.lua has some more
  lua_pushcclosure(L, Index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "minnow.model");
  lua_setfield(L, -2, "__metatable");
  lua_pushliteral(L, "minnow.model");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kModelMetatable);
}

}  // namespace minnow::script
