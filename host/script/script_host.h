// The host's end of an untrusted script's process: starts it, answers its questions, runs its
// requests on models, and ends it when it breaks the protocol.
//
//   question  open, adapter, encode, fingerprint, longest, source  --> answer
//   request   generate, classify, score, embed; forget        --> piece..., done
//   told      loaded, result, ended, log, print
//
// Whatever comes from there is taken for hostile. Models are known to it by numbers that were given
// to it; it may have so many requests under way and no more; it is read no further while it does
// not read what it is sent; its lines on stderr are rationed and free of control characters; it
// cannot claim that a device was lost, which ends batches. Threads: the loop's; models and the loop
// outlive the host.
#pragma once

#include <uv.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "script/child_process.h"
#include "script/model_api.h"
#include "script/pipeline.h"
#include "script/program.h"
#include "script/run.h"
#include "script/wire.h"

namespace minnow::script {

// The text of a script and its modules, read once: every process gets the same.
class KeptSources {
 public:
  explicit KeptSources(const std::string& path) : sources_(SourcesInFolderOf(path)) {}

  const std::string& path() const { return sources_->path(); }
  Result<Sources::Source> Read(const std::string& module);
  std::string main_sha256() const;
  std::vector<std::pair<std::string, std::string>> modules() const;  // names and SHA-256
  const Program::Files& files() const { return sources_->files(); }

 private:
  const std::unique_ptr<Sources> sources_;
  std::map<std::string, Sources::Source> kept_;
};

// What a script may ask for; outlives its processes.
struct ScriptSupply {
  Models& models;
  KeptSources sources;
  OpenModels open_models{};
  engine::Priority priority = engine::Priority::kBatch;
  bool prints_data = false;  // print_to gets all that is printed, else it is rationed
  std::FILE* print_to = stderr;
};

// Why a process is no more.
struct Death {
  Code code;
  std::string what;      // "tried a forbidden system call"
  uint64_t running = 0;  // the document whose Lua ran, as far as the process told; 0: none
};

class ScriptHost {
 public:
  // None destroys the host but `died`.
  struct Events {
    std::function<void(Status, std::string name)> loaded;
    std::function<void(uint64_t run, DocumentResult)> result;
    std::function<void(Result<ScriptEnd>)> ended;
    std::function<void(Death)> died;  // the last of all; from a turn of the loop, or from Wait
  };

  static Result<std::unique_ptr<ScriptHost>> Start(ScriptSupply& supply, Loop& loop,
                                                   const ChildLimits& limits,
                                                   nlohmann::ordered_json start, Events events);
  // Ends the process, and cancels its requests.
  ~ScriptHost();

  // Serves the process in place until `done` says so, it is dead, or it computes for too long.
  void Wait(const std::function<bool()>& done, double cpu_seconds);
  // Serves it on the loop from now on.
  void ServeOnLoop();

  uint64_t Run(const Document& document);  // 1, 2, ...
  void CancelRun(uint64_t run);
  // `culprit`: the document to be charged, else the one whose Lua runs.
  void Kill(Code code, std::string why, uint64_t culprit = 0);
  void SetEvents(Events events) { events_ = std::move(events); }
  const ChildProcess& process() const { return *process_; }

 private:
  using Json = nlohmann::ordered_json;
  struct Request {
    ModelApi* model;
    engine::RequestId id;
  };

  ScriptHost(ScriptSupply& supply, Loop& loop, const ChildLimits& limits, Events events);
  void Send(const Json& message);
  void Write();
  void Read();
  void Listen();
  void Die(Code code, std::string what, uint64_t culprit = 0);

  Status Take(const Json& message);
  Status TakeQuestion(const std::string& type, const Json& message);
  Status TakeRequest(const std::string& type, const Json& message);
  Status TakeNews(const std::string& type, const Json& message);
  void Answer(uint64_t id, Result<Json> value);
  void AnswerOpen(uint64_t id, const std::string& key, Result<ModelApi*> opened);
  void Later(std::function<std::function<void()>()> work);
  Result<Json> Encode(const ModelApi& model, const Json& message) const;
  Result<ModelApi*> ModelOf(const Json& message) const;
  Result<StepUsages> TakeSteps(const Json& message);
  template <class RequestOf>
  Status Submit(uint64_t id, const Json& message, ModelApi& model, RequestOf request,
                Result<engine::RequestId> (ModelApi::*submit)(RequestOf));
  void Refuse(const std::string& type, uint64_t id, const Status& status);
  void Done(uint64_t id, const Status& status, Json result);
  void Print(const std::string& text);
  void LogLine(int level, const std::string& text);
  bool MayTell(size_t bytes);
  void TellUntold();

  ScriptSupply& supply_;
  Loop& loop_;
  const ChildLimits limits_;
  Events events_;
  const Loop::Address address_;
  std::unique_ptr<ChildProcess> process_;
  uv_poll_t* poll_ = nullptr;  // null: not served by the loop
  int watched_ = 0;            // for what
  bool dead_ = false, device_lost_ = false;

  Unframer in_{kMaxFromChild};
  std::string out_;
  size_t written_ = 0;  // of out_

  std::vector<ModelApi*> models_;  // by their number
  std::map<uint64_t, Request> requests_;
  size_t n_working_ = 0;  // questions that wait for the pool
  uint64_t last_run_ = 0;
  std::set<uint64_t> interactive_;  // documents that may ask for it
  std::set<std::string> steps_;     // what it has called them
  double may_tell_bytes_;
  uint64_t told_at_ = 0;  // by uv_hrtime
  uint64_t n_untold_ = 0;
};

}  // namespace minnow::script
