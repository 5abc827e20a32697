#include "script/run.h"

#include <utility>

#include "script/lua_modules.h"

namespace minnow::script {
namespace {

using Arguments = std::span<const std::string>;

int ScriptMain(lua_State* L) {
  const auto& arguments = *static_cast<Arguments*>(lua_touserdata(L, 1));
  PushChunk(L, State::From(L).environment().program.main());
  luaL_checkstack(L, static_cast<int>(arguments.size()), "too many arguments");
  for (const std::string& argument : arguments) {
    lua_pushlstring(L, argument.data(), argument.size());
  }
  const auto finish = [](lua_State*, int, lua_KContext) { return 1; };
  lua_callk(L, static_cast<int>(arguments.size()), 1, 0, finish);
  return 1;
}

}  // namespace

Result<ScriptEnd> RunProgram(Program program, Arguments arguments, Models& models, Loop& loop,
                             const Budget& budget, const Grants& grants, std::FILE* print_to) {
  Environment environment{.loop = loop,
                          .models = models,
                          .program = program,
                          .budget = budget,
                          .grants = grants,
                          .priority = engine::Priority::kInteractive,
                          .print_to = print_to};
  MNW_ASSIGN(const std::unique_ptr<State> state, State::Create(environment, program.path()));
  Result<ScriptEnd> end = ScriptEnd::kDone;
  state->Start(ScriptMain, &arguments, [&](Status status, lua_State* L) {
    if (!status.ok()) {
      end = std::move(status);
    } else if (IsPipeline(L, -1)) {
      end = ScriptEnd::kPipeline;
    }
    loop.Stop();
  });
  loop.Run();
  loop.WaitForWork();
  return end;
}

}  // namespace minnow::script
