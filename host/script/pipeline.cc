#include "script/pipeline.h"

#include <chrono>
#include <utility>

#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {

using Clock = std::chrono::steady_clock;

struct LocalPipeline::Running {
  Document document;
  OnDone on_done;
  Clock::time_point begun;
  std::unique_ptr<State> state;
};

LocalPipeline::LocalPipeline(Program program, Models& models, Loop& loop,
                             const PipelineOptions& options)
    : program_(std::move(program)),
      environment_{.loop = loop,
                   .models = models,
                   .program = program_,
                   .budget = options.budget,
                   .grants = options.grants,
                   .priority = options.priority,
                   .on_classify = options.on_classify},
      address_(loop.NewAddress()) {}

LocalPipeline::~LocalPipeline() {
  environment_.loop.Retire(address_);
  running_.clear();
  environment_.loop.WaitForWork();  // which opens models for documents that are gone
}

Result<std::unique_ptr<LocalPipeline>> LocalPipeline::Load(Program program, Models& models,
                                                           Loop& loop,
                                                           const PipelineOptions& options,
                                                           std::FILE* print_to, Watch* watch,
                                                           Program::Files* files) {
  std::unique_ptr<LocalPipeline> pipeline(
      new LocalPipeline(std::move(program), models, loop, options));
  pipeline->environment_.print_to = print_to;
  pipeline->environment_.watch = watch;
  const Status checked = pipeline->Check();
  if (files) *files = pipeline->files();
  MNW_TRY(checked);
  return pipeline;
}

size_t LocalPipeline::n_parts() const {
  return 1 + program_.modules().size() + environment_.open_models.size();
}

Result<Pipeline::PartList> LocalPipeline::Parts() const {
  return ListParts(program_.main().sha256, program_.modules(), environment_.open_models);
}

Result<Pipeline::PartList> ListParts(
    const std::string& main_sha256, const std::vector<std::pair<std::string, std::string>>& modules,
    const OpenModels& models) {
  Pipeline::PartList parts{{"pipeline", main_sha256}};
  for (const auto& [name, sha256] : modules) parts.emplace_back("module " + name, sha256);
  for (const auto& [name, model] : models) {
    MNW_ASSIGN(std::string fingerprint, model->Fingerprint());
    parts.emplace_back("model " + name, std::move(fingerprint));
  }
  return parts;
}

// Nothing at the top level can wait, so the state has ended when Start returns.
Status LocalPipeline::Check() {
  MNW_ASSIGN(const std::unique_ptr<State> state, State::Create(environment_, program_.path()));
  Status result;
  environment_.may_block = true;
  state->Start(CheckMain, this, [&](Status status, lua_State* L) {
    result = std::move(status);
    if (result.ok() && PushRawField(L, -1, "name") == LUA_TSTRING) name_ = lua_tostring(L, -1);
  });
  environment_.may_block = false;
  return result;
}

// Runs the file's top level, leaving the pipeline it returns on top of the stack.
int LocalPipeline::CheckMain(lua_State* L) {
  State& state = State::From(L);
  PushChunk(L, state.environment().program.main());
  lua_call(L, 0, 1);
  if (IsPipeline(L, -1)) return 1;
  state.Try(Error(Code::kInvalid, "{}: a pipeline file returns minnow.pipeline{{ ... }}, got {}",
                  state.environment().program.path(), luaL_typename(L, -1)));
  return state.Raise(L);
}

int LocalPipeline::DocumentMain(lua_State* L) {
  const Document& document = static_cast<Running*>(lua_touserdata(L, 1))->document;
  CheckMain(L);
  lua_getfield(L, -1, "run");
  lua_createtable(L, 0, 4);
  lua_pushlstring(L, document.id.data(), document.id.size());
  lua_setfield(L, -2, "id");
  lua_pushlstring(L, document.path.data(), document.path.size());
  lua_setfield(L, -2, "path");
  lua_pushlstring(L, document.text.data(), document.text.size());
  lua_setfield(L, -2, "text");
  PushJson(L, document.meta);
  lua_setfield(L, -2, "meta");
  const auto finish = [](lua_State*, int, lua_KContext) { return 1; };
  lua_callk(L, 1, 1, 0, finish);
  return 1;
}

// Documents begin and end in turns of the loop, so a caller that goes on in on_done builds no
// stack.
LocalPipeline::RunId LocalPipeline::Run(Document document, OnDone on_done) {
  const RunId id = ++last_run_;
  running_[id].reset(new Running{std::move(document), std::move(on_done), Clock::now(), nullptr});
  environment_.loop.Post(address_, [this, id] { Begin(id); });
  return id;
}

void LocalPipeline::Cancel(RunId id) { running_.erase(id); }

void LocalPipeline::Begin(RunId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;  // cancelled
  Running* const running = found->second.get();
  auto state = State::Create(environment_, running->document.id);
  if (!state.ok()) return Finish(id, {.status = std::move(state).status()});
  running->state = *std::move(state);
  if (running->document.priority) running->state->set_priority(*running->document.priority);
  running->state->set_tag(id);
  running->state->Start(DocumentMain, running, [this, id, running](Status status, lua_State* L) {
    DocumentResult result{.status = std::move(status)};
    if (result.status.ok()) {
      auto value = ToJson(L, -1, "the result");
      if (value.ok()) {
        result.value = *std::move(value);
      } else {
        result.status = std::move(value).status();
      }
    }
    result.prompt_tokens = running->state->usage().prompt_tokens;
    result.completion_tokens = running->state->usage().completion_tokens;
    result.steps = running->state->steps();
    Finish(id, std::move(result));
  });
}

void LocalPipeline::Finish(RunId id, DocumentResult result) {
  Running& running = *running_.at(id);
  result.seconds = std::chrono::duration<double>(Clock::now() - running.begun).count();
  const OnDone on_done = std::move(running.on_done);
  running_.erase(id);
  on_done(std::move(result));
}

}  // namespace minnow::script
