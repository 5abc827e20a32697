// A pipeline file (minnow.pipeline{ name, run }) and the documents that run through it.
//
// Load compiles the file and runs its top level once, which opens the models it names there. Each
// document then gets a state of its own, in which the top level runs again before `run(doc)`:
// documents share models and nothing else. The Lua runs in this process (LocalPipeline), or, of
// people whom one does not trust, in one that can be killed (remote_pipeline.h), with the same
// results. Threads: the loop's. The loop and the models outlive the pipeline.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "script/child_process.h"
#include "script/state.h"
#include "script/step_usage.h"

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
  StepUsages steps{};
};

struct PipelineOptions {
  Budget budget{};  // of each document
  Grants grants{};
  engine::Priority priority = engine::Priority::kBatch;
  std::optional<ChildLimits> untrusted{};  // in a process of its own
  // See Environment; the tag is the RunId. Not of an untrusted one.
  std::function<void(const Environment::ClassifyEvent&)> on_classify{};
};

class Pipeline {
 public:
  // May take as long as opening the models does. `files`: what was read, also if it fails.
  static Result<std::unique_ptr<Pipeline>> Load(const std::string& path, Models& models, Loop& loop,
                                                const PipelineOptions& options = {},
                                                Program::Files* files = nullptr);
  // Cancels the requests of documents that are under way, whose on_done is not called any more.
  virtual ~Pipeline() = default;

  virtual const std::string& name() const = 0;
  // What it consists of so far, as names and hashes: its file, the modules that were required, the
  // models that were opened.
  using PartList = std::vector<std::pair<std::string, std::string>>;
  virtual Result<PartList> Parts() const = 0;
  virtual size_t n_parts() const = 0;
  virtual const Program::Files& files() const = 0;
  virtual bool idle() const = 0;               // no document is under way
  virtual void print_to(std::FILE* file) = 0;  // else stderr

  // Any number may run at once; each holds a state of some 40 KB. on_done comes from the loop,
  // after Run has returned.
  using OnDone = std::function<void(DocumentResult)>;
  using RunId = uint64_t;  // 1, 2, ...
  virtual RunId Run(Document document, OnDone on_done) = 0;
  // Drops a document that is under way, and cancels its requests. Its on_done is not called any
  // more. REQUIRES: called from a turn of the loop's own, not by anything a script does.
  virtual void Cancel(RunId id) = 0;

 protected:
  Pipeline() = default;
};

// Of a program and its models: see Pipeline::Parts.
Result<Pipeline::PartList> ListParts(
    const std::string& main_sha256, const std::vector<std::pair<std::string, std::string>>& modules,
    const OpenModels& models);

class LocalPipeline final : public Pipeline {
 public:
  // Of the options, `untrusted` is not looked at. `files`: as of Pipeline::Load.
  static Result<std::unique_ptr<LocalPipeline>> Load(Program program, Models& models, Loop& loop,
                                                     const PipelineOptions& options,
                                                     std::FILE* print_to = stderr,
                                                     Watch* watch = nullptr,
                                                     Program::Files* files = nullptr);
  ~LocalPipeline() override;

  const std::string& name() const override { return name_; }
  Result<PartList> Parts() const override;
  size_t n_parts() const override;
  const Program::Files& files() const override { return program_.files(); }
  bool idle() const override { return running_.empty(); }
  void print_to(std::FILE* file) override { environment_.print_to = file; }
  RunId Run(Document document, OnDone on_done) override;
  void Cancel(RunId id) override;

 private:
  struct Running;
  LocalPipeline(Program program, Models& models, Loop& loop, const PipelineOptions& options);
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
