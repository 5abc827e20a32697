// `minnow test`: a Lua file of describe and it (scripts/minnow/test.lua), its tests run one by one.
//
// Each test has a state of its own, in which the file's top level runs again, and the budget of a
// document, so tests share nothing and one that runs away fails alone. Pipelines that it asks for
// (minnow.test.pipeline) are loaded once and run as they do elsewhere. Threads: the loop's, which
// Run runs. Loop and models outlive it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "script/pipeline.h"
#include "script/state.h"

namespace minnow::script {

class TestFile {
 public:
  struct Test {
    std::vector<std::string> path;  // the names of the describes it stands in, then its own
    std::string where;              // "triage_test.lua:12"
    bool pending = false;
    lua_Integer index = 0;  // among those of the file
  };

  // Learns what tests there are, of which those whose names match the Lua pattern `filter` are
  // kept; "" is all. May take as long as opening the models does.
  // `options` are those of each test and of each document.
  static Result<std::unique_ptr<TestFile>> Load(const std::string& path, const std::string& filter,
                                                Models& models, Loop& loop,
                                                const PipelineOptions& options = {});
  ~TestFile();

  const std::vector<Test>& tests() const { return tests_; }
  Status Run(const Test& test);

 private:
  struct Call;
  TestFile(Program program, Models& models, Loop& loop, const PipelineOptions& options);
  Status List(const std::string& filter);
  Result<size_t> OpenPipeline(const std::string& path);
  static Status StartDocument(lua_State* L, State& state, State::CallId id);
  void PushFunctions(lua_State* L);
  static int Main(lua_State* L);
  static int LoadPipeline(lua_State* L);
  static int RunDocument(lua_State* L);

  Program program_;
  const PipelineOptions options_;
  Environment environment_;
  std::vector<Test> tests_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  std::map<std::string, size_t> pipeline_of_;                // by the path it was asked for
  std::vector<std::pair<size_t, Pipeline::RunId>> running_;  // begun by the test that runs
};

}  // namespace minnow::script
