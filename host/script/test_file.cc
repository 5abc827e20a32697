#include "script/test_file.h"

#include <filesystem>
#include <utility>

#include "script/lua_modules.h"
#include "script/lua_values.h"

namespace minnow::script {

using Json = nlohmann::ordered_json;

// What Main is to call: M.list(file, filter, ...) or M.run(file, index, ...).
struct TestFile::Call {
  TestFile& file;
  const std::string& filter;
  lua_Integer index;  // 0: list
};

namespace {

TestFile& FileOf(lua_State* L) {
  return *static_cast<TestFile*>(lua_touserdata(L, lua_upvalueindex(1)));
}

Status ReadTests(const Json& list, std::vector<TestFile::Test>* tests) {
  for (const Json& json : list) {
    TestFile::Test test;
    for (const Json& name : json["path"]) test.path.push_back(name.get<std::string>());
    test.where = json["where"].get<std::string>();
    test.pending = json["pending"].get<bool>();
    test.index = json["index"].get<lua_Integer>();
    tests->push_back(std::move(test));
  }
  return {};
}

}  // namespace

TestFile::TestFile(Program program, Models& models, Loop& loop, const PipelineOptions& options)
    : program_(std::move(program)),
      options_(options),
      environment_{.loop = loop,
                   .models = models,
                   .program = program_,
                   .budget = options.budget,
                   .grants = options.grants,
                   .priority = options.priority} {}

TestFile::~TestFile() {
  pipelines_.clear();
  environment_.loop.WaitForWork();
}

Result<std::unique_ptr<TestFile>> TestFile::Load(const std::string& path, const std::string& filter,
                                                 Models& models, Loop& loop,
                                                 const PipelineOptions& options) {
  MNW_ASSIGN(Program program, Program::Load(path));
  std::unique_ptr<TestFile> file(new TestFile(std::move(program), models, loop, options));
  MNW_TRY(file->List(filter));
  return file;
}

void TestFile::PushFunctions(lua_State* L) {
  for (const lua_CFunction function : {&LoadPipeline, &RunDocument}) {
    lua_pushlightuserdata(L, this);
    lua_pushcclosure(L, function, 1);
  }
}

int TestFile::Main(lua_State* L) {
  const Call& call = *static_cast<const Call*>(lua_touserdata(L, 1));
  lua_getglobal(L, "require");
  lua_pushliteral(L, "minnow.test");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, call.index == 0 ? "list" : "run");
  PushChunk(L, State::From(L).environment().program.main());
  if (call.index == 0) {
    lua_pushlstring(L, call.filter.data(), call.filter.size());
  } else {
    lua_pushinteger(L, call.index);
  }
  call.file.PushFunctions(L);
  if (call.index == 0) {  // nothing there can wait
    lua_call(L, 4, 1);
    return 1;
  }
  const auto finish = [](lua_State*, int, lua_KContext) { return 0; };
  lua_callk(L, 4, 0, 0, finish);
  return 0;
}

Status TestFile::List(const std::string& filter) {
  MNW_ASSIGN(const std::unique_ptr<State> state, State::Create(environment_, program_.path()));
  Result<Json> list = Json::array();
  Call call{*this, filter, 0};
  environment_.may_block = true;
  state->Start(Main, &call, [&](Status status, lua_State* L) {
    list = status.ok() ? ToJson(L, -1, "the tests") : Result<Json>(std::move(status));
  });
  environment_.may_block = false;
  MNW_ASSIGN(const Json tests, std::move(list));
  return ReadTests(tests, &tests_);
}

Status TestFile::Run(const Test& test) {
  Status result;
  const std::string no_filter;
  Call call{*this, no_filter, test.index};
  {
    MNW_ASSIGN(const std::unique_ptr<State> state, State::Create(environment_, test.path.back()));
    state->Start(Main, &call, [&](Status status, lua_State*) {
      result = std::move(status);
      environment_.loop.Stop();
    });
    environment_.loop.Run();
  }
  for (const auto& [pipeline, id] : running_) pipelines_[pipeline]->Cancel(id);
  running_.clear();
  return result;
}

// --- minnow.test.pipeline

Result<size_t> TestFile::OpenPipeline(const std::string& path) {
  const auto found = pipeline_of_.find(path);
  if (found != pipeline_of_.end()) return found->second;
  const auto file =
      (std::filesystem::path(program_.path()).parent_path() / path).lexically_normal();
  MNW_ASSIGN(auto pipeline,
             Pipeline::Load(file.string(), environment_.models, environment_.loop, options_));
  pipelines_.push_back(std::move(pipeline));
  return pipeline_of_[path] = pipelines_.size() - 1;
}

// load(path): the pipeline's number.
int TestFile::LoadPipeline(lua_State* L) {
  State& state = State::From(L);
  size_t pipeline = 0;
  const auto load = [&]() -> Status {
    MNW_ASSIGN(pipeline, FileOf(L).OpenPipeline(lua_tostring(L, 1)));
    return {};
  };
  if (!state.Try(load())) return state.Raise(L);
  lua_pushinteger(L, static_cast<lua_Integer>(pipeline));
  return 1;
}

Status TestFile::StartDocument(lua_State* L, State& state, State::CallId id) {
  TestFile& file = FileOf(L);
  const auto pipeline = static_cast<size_t>(lua_tointeger(L, 1));
  Document document;
  MNW_ASSIGN(document.id, ReadString(L, 2, "run: id"));
  MNW_ASSIGN(document.path, ReadString(L, 3, "run: path"));
  MNW_ASSIGN(document.text, ReadString(L, 4, "run: text"));
  MNW_ASSIGN(document.meta, ToJson(L, 5, "run: meta"));
  auto receive =
      state.Receiver<DocumentResult>(id, [](State& state, State::CallId id, DocumentResult result) {
        state.Complete(id, result.status.ok() ? Result<Json>(std::move(result.value))
                                              : Result<Json>(std::move(result.status)));
      });
  file.running_.emplace_back(pipeline,
                             file.pipelines_[pipeline]->Run(std::move(document), receive));
  return {};
}

// run(pipeline, id, path, text, meta): what the pipeline makes of the document.
int TestFile::RunDocument(lua_State* L) {
  return State::From(L).CallAndWait(L, "running a pipeline", StartDocument);
}

}  // namespace minnow::script
