#include "script/repl.h"

#include <utility>

#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {
namespace {

// What every session finds. Its argument is the model's name.
constexpr std::string_view kPrelude =
    "minnow = require 'minnow'\n"
    "local model = ...\n"
    "if model ~= '' then slm = minnow.model(model) end\n";

const auto kFinish = [](lua_State* L, int, lua_KContext) { return lua_gettop(L); };

int PreludeMain(lua_State* L) {
  const auto& model = *static_cast<const std::string*>(lua_touserdata(L, 1));
  lua_settop(L, 0);
  PushChunk(L, State::From(L).environment().program.main());
  lua_pushlstring(L, model.data(), model.size());
  lua_callk(L, 1, 0, 0, kFinish);
  return 0;
}

struct Lines {
  const std::string& text;
  const std::string expression;  // an expression is a statement that returns it
  bool incomplete = false;
};

bool EndsTooEarly(lua_State* L) { return std::string_view(lua_tostring(L, -1)).ends_with("<eof>"); }

// Leaves the function on the stack, or the message that says more.
int Compile(lua_State* L, Lines& lines) {
  const auto load = [L](const std::string& text) {
    return luaL_loadbufferx(L, text.data(), text.size(), "=repl", "t");
  };
  int status = load(lines.expression);
  if (status != LUA_ERRSYNTAX) return status;
  lines.incomplete = EndsTooEarly(L);
  status = load(lines.text);
  if (status != LUA_ERRSYNTAX) return status;
  lines.incomplete |= EndsTooEarly(L);
  if (!EndsTooEarly(L) && lines.incomplete) lua_pop(L, 1);
  return status;
}

int LinesMain(lua_State* L) {
  Lines& lines = *static_cast<Lines*>(lua_touserdata(L, 1));
  const int status = Compile(L, lines);
  if (status != LUA_OK) {
    State::From(L).Breached(status);
    return lua_error(L);
  }
  lines.incomplete = false;
  lua_replace(L, 1);
  lua_settop(L, 1);
  lua_callk(L, 0, LUA_MULTRET, 0, kFinish);
  return lua_gettop(L);
}

}  // namespace

Repl::Repl(Program program, Models& models, Loop& loop, std::string model, const Budget& budget,
           const Grants& grants)
    : program_(std::move(program)),
      model_(std::move(model)),
      environment_{.loop = loop,
                   .models = models,
                   .program = program_,
                   .budget = budget,
                   .grants = grants,
                   .priority = engine::Priority::kInteractive,
                   .print_to = stdout,
                   .interrupted = &interrupted_} {
  uv_async_init(loop.uv(), &wake_, [](uv_async_t* wake) {
    Repl& repl = *static_cast<Repl*>(wake->data);
    if (repl.interrupted_ && repl.state_) {
      repl.state_->Stop(Error(Code::kCancelled, "interrupted"));
    }
  });
  wake_.data = this;
}

Repl::~Repl() {
  state_.reset();
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_), nullptr);
  uv_run(environment_.loop.uv(), UV_RUN_NOWAIT);  // lets libuv forget the handle
  environment_.loop.WaitForWork();
}

Result<std::unique_ptr<Repl>> Repl::Create(Models& models, Loop& loop, const std::string& model,
                                           const Budget& budget, const Grants& grants) {
  MNW_ASSIGN(Program program, Program::BuiltIn("./repl", kPrelude));
  std::unique_ptr<Repl> repl(new Repl(std::move(program), models, loop, model, budget, grants));
  MNW_TRY(repl->Begin());
  return repl;
}

Status Repl::Begin() {
  MNW_ASSIGN(state_, State::Create(environment_, "repl"));
  return Evaluate(PreludeMain, const_cast<std::string*>(&model_)).status;
}

void Repl::Interrupt() {
  interrupted_ = true;
  uv_async_send(&wake_);
}

Repl::Outcome Repl::Evaluate(lua_CFunction main, void* argument) {
  Outcome outcome;
  state_->Start(main, argument, [&](Status status, lua_State* L) {
    outcome.status = std::move(status);
    for (int i = 1; outcome.status.ok() && i <= lua_gettop(L); ++i) {
      outcome.values += Inspect(L, i) + "\n";
    }
    environment_.loop.Stop();
  });
  environment_.loop.Run();
  return outcome;
}

Repl::Outcome Repl::Run(const std::string& text, bool is_last) {
  Outcome outcome;
  if (!state_) outcome.status = Begin();
  if (outcome.status.ok()) outcome.status = state_->Restart();
  bool is_lost = !outcome.status.ok();
  if (!is_lost) {
    Lines lines{text, "return " + text};
    outcome = Evaluate(LinesMain, &lines);
    outcome.incomplete = lines.incomplete && !is_last;
    is_lost = state_->breached() && outcome.status.code() == Code::kExhausted;
  }
  if (!is_lost) return outcome;
  state_.reset();
  outcome.status = Error(Code::kExhausted, "{}; what the session had in variables is lost",
                         outcome.status.message());
  return outcome;
}

}  // namespace minnow::script
