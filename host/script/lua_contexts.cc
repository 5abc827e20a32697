// Pinned contexts, for minnow.lua: what a context has in the model's cache.
#include <memory>
#include <utility>

#include "script/lua_model.h"
#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

using Json = nlohmann::ordered_json;

// A hold that somebody has to take over, or it is given up.
class Untaken {
 public:
  Untaken(ModelApi& model, engine::RequestId hold) : model_(model), hold_(hold) {}
  ~Untaken() {
    if (hold_) model_.Cancel(hold_);
  }
  Untaken(const Untaken&) = delete;
  Untaken& operator=(const Untaken&) = delete;
  engine::RequestId Take() { return std::exchange(hold_, 0); }

 private:
  ModelApi& model_;
  engine::RequestId hold_;
};

// pin(model, document) -> the pin
Status StartPin(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "pin"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "pin: the document"));
  engine::HoldRequest request;
  MNW_ASSIGN(request.tokens, model->DocumentPrefix(document));
  MNW_TRY(state.ReserveTokens(request.tokens.size()));
  request.priority = state.priority();
  struct Held {
    Status status;
    std::shared_ptr<Untaken> hold;
    engine::Usage usage;
    ModelApi* model;
  };
  auto receive = state.Receiver<Held>(id, [](State& state, State::CallId id, Held held) {
    state.CountUsage(id, held.usage);
    if (!held.status.ok()) return state.Complete(id, held.status);
    if (!state.Find(id)) return;  // nobody waits for it any more
    state.Complete(id, Json(state.AddPin(*held.model, held.hold->Take())));
  });
  request.on_done = [receive = std::move(receive), model](Status status, engine::RequestId hold,
                                                          engine::Usage usage) {
    if (!status.ok()) hold = 0;
    receive({std::move(status), std::make_shared<Untaken>(*model, hold), usage, model});
  };
  MNW_ASSIGN(const engine::RequestId submitted, model->Hold(std::move(request)));
  state.Submitted(id, *model, submitted);
  return {};
}
int Pin(lua_State* L) { return State::From(L).CallAndWait(L, "pin", StartPin); }

// unpin(pin)
int Unpin(lua_State* L) {
  State::From(L).DropPin(lua_tointeger(L, 1));
  return 0;
}

Result<std::string> FileOf(lua_State* L, int index, State& state, const char* call) {
  MNW_ASSIGN(const std::string_view name, ReadString(L, index, fmt::format("{}: the name", call)));
  const std::string& folder = state.environment().grants.contexts;
  if (!folder.empty()) return engine::ContextPath(folder, name);
  return Error(Code::kPrecondition,
               "{}: this script may keep no contexts; grant a folder with --allow contexts=DIR",
               call);
}

// save(model, document, pin, name)
Status StartSave(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "save"));
  MNW_ASSIGN(const std::string_view document, ReadString(L, 2, "save: the document"));
  MNW_ASSIGN(std::string path, FileOf(L, 4, state, "save"));
  const engine::RequestId hold = state.FindPin(lua_tointeger(L, 3));
  state.environment().loop.Work(
      [&state, id, model, hold, document = std::string(document),
       path = std::move(path)]() -> Loop::Function {
        Status status = model->SaveContext(hold, document, path);
        return [&state, id, status = std::move(status)] {
          state.Complete(id, status.ok() ? Result<Json>(Json()) : Result<Json>(status));
        };
      },
      state.address());
  return {};
}
int Save(lua_State* L) { return State::From(L).CallAndWait(L, "save", StartSave); }

// restore(model, name) -> { document, pin }
Status StartRestore(lua_State* L, State& state, State::CallId id) {
  MNW_ASSIGN(ModelApi * model, ReadModel(L, "restore"));
  MNW_ASSIGN(std::string path, FileOf(L, 2, state, "restore"));
  state.environment().loop.Work(
      [&state, id, model, path = std::move(path)]() -> Loop::Function {
        auto restored = model->RestoreContext(path);
        if (!restored.ok()) {
          return [&state, id, status = restored.status()] { state.Complete(id, status); };
        }
        const auto untaken = std::make_shared<Untaken>(*model, restored->hold);
        return [&state, id, model, untaken, document = std::move(restored->document)] {
          const int64_t pin = state.AddPin(*model, untaken->Take());
          state.Complete(id, Json{{"document", document}, {"pin", pin}});
        };
      },
      state.address());
  return {};
}
int Restore(lua_State* L) { return State::From(L).CallAndWait(L, "restore", StartRestore); }

}  // namespace

Result<std::vector<engine::TokenId>> ModelApi::DocumentPrefix(std::string_view) const {
  return Error(Code::kUnsupported, "this script can pin no contexts");
}
Result<engine::RequestId> ModelApi::Hold(engine::HoldRequest) {
  return Error(Code::kUnsupported, "this script can pin no contexts");
}
Status ModelApi::SaveContext(engine::RequestId, std::string_view, const std::string&) {
  return Error(Code::kUnsupported, "this script can save no contexts");
}
Result<engine::RestoredContext> ModelApi::RestoreContext(const std::string&) {
  return Error(Code::kUnsupported, "this script can restore no contexts");
}

void OpenContexts(lua_State* L) {
  constexpr luaL_Reg kFunctions[] = {
      {"pin", Pin}, {"unpin", Unpin}, {"save", Save}, {"restore", Restore}, {nullptr, nullptr}};
  luaL_newlib(L, kFunctions);
  lua_setfield(L, -2, "contexts");
}

}  // namespace minnow::script
