// A pipeline file (minnow.pipeline{ name, run }) and the documents that run through it.
//
// Load compiles the file and runs its top level once, which opens the models it names there. Each
// document then gets a state of its own, in which the top level runs again before `run(doc)`:
// documents share models and nothing else. Threads: the loop's. The loop and the models outlive the
// pipeline.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "script/state.h"

namespace minnow::script {

struct Document {
  std::string id, path, text;
  nlohmann::ordered_json meta = nlohmann::ordered_json::object();
  std::optional<engine::Priority> priority{};  // else the pipeline's
};

struct DocumentResult {
  Status status;  // "triage.lua:12: ..." if the script failed; kExhausted: a budget
  nlohmann::ordered_json value{};  // what run returned
  double seconds = 0;
  uint64_t prompt_tokens = 0, completion_tokens = 0;
};

struct PipelineOptions {
  Budget budget{};  // of each document
  Grants grants{};
  engine::Priority priority = engine::Priority::kBatch;
};

class Pipeline {
 public:
  // May take as long as opening the models does. `files`: what was read, also if it fails.
  static Result<std::unique_ptr<Pipeline>> Load(const std::string& path, Models& models, Loop& loop,
                                                const PipelineOptions& options = {},
                                                Program::Files* files = nullptr);
  // Cancels the requests of documents that are under way, whose on_done is not called any more.
  ~Pipeline();

  const std::string& name() const { return name_; }
  // What it consists of so far, as names and hashes: its file, the modules that were required, the
  // models that were opened.
  Result<std::vector<std::pair<std::string, std::string>>> Parts() const;
  size_t n_parts() const;
  void print_to(std::FILE* file) { environment_.print_to = file; }  // else stderr
  const Program::Files& files() const { return program_.files(); }
  bool idle() const { return running_.empty(); }  // no document is under way

  // Any number may run at once; each holds a state of some 40 KB. on_done comes from the loop,
  // after Run has returned.
  using OnDone = std::function<void(DocumentResult)>;
  using RunId = uint64_t;  // never reused
  RunId Run(Document document, OnDone on_done);
  // Drops a document that is under way, and cancels its requests. Its on_done is not called any
  // more. REQUIRES: called from a turn of the loop's own, not by anything a script does.
  void Cancel(RunId id);

 private:
  struct Running;
  Pipeline(Program program, Models& models, Loop& loop, const PipelineOptions& options);
  Status Check();
  void Begin(RunId id);
  void Finish(RunId id, DocumentResult result);
  static int CheckMain(lua_State* L);
  static int DocumentMain(lua_State* L);

  Program program_;
  Environment environment_;
  const Loop::Address address_;
  std::string name_;
  RunId last_run_ = 0;
  std::map<RunId, std::unique_ptr<Running>> running_;
};

}  // namespace minnow::script
