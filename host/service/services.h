// The services: what each adds to the router. Threads: as Call's handlers.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "script/pipeline.h"
#include "service/context_table.h"
#include "service/metrics.h"
#include "service/model_table.h"
#include "service/router.h"
#include "service/source_watch.h"
#include "service/workers.h"

namespace minnow::v1 {
class SaveContextRequest;
class RestoreContextRequest;
}  // namespace minnow::v1

namespace minnow::service {

// minnow.v1.Inference
class Inference {
 public:
  // `context_dir`: where contexts are saved; empty: nowhere.
  Inference(ModelTable& models, Metrics& metrics, std::string context_dir)
      : models_(models), metrics_(metrics), context_dir_(std::move(context_dir)), files_(1) {}
  void AddTo(Router& router);

 private:
  void AddContexts(Router& router);  // contexts.cc
  Failure SaveContext(const CallPtr& call, const v1::SaveContextRequest& request);
  Failure RestoreContext(const CallPtr& call, const v1::RestoreContextRequest& request);

  ModelTable& models_;
  Metrics& metrics_;
  const std::string context_dir_;
  ContextTable contexts_;
  Workers files_;  // reads and writes them
};

// minnow.v1.Models. Loading and unloading wait on a thread of their own, one after the other;
// that of adapters on the table's.
class ModelService {
 public:
  explicit ModelService(ModelTable& models) : models_(models), admin_(1) {}
  void AddTo(Router& router);

 private:
  ModelTable& models_;
  Workers admin_;
};

// minnow.v1.Pipelines. All that is here belongs to the loop's thread, where pipelines run; calls
// come from other threads and are posted there.
class PipelineService {
 public:
  PipelineService(script::Loop& loop, script::Models& models, script::PipelineOptions options);
  ~PipelineService();
  void AddTo(Router& router);

  // On the loop. kInvalid if there is a pipeline of that name.
  Status Load(const std::string& path);
  // On the loop, once: from now on, a pipeline whose files change is loaded anew. If it cannot be,
  // the one that there is serves on.
  void Watch();
  // On the loop: loads all of them anew, changed or not.
  void Reload();

 private:
  class Stream;
  using PipelinePtr = std::shared_ptr<script::Pipeline>;
  struct OneRun {  // which may be over, and its pipeline gone
    std::weak_ptr<script::Pipeline> pipeline;
    script::Pipeline::RunId id = 0;
  };
  struct Loaded {
    std::string path;
    PipelinePtr pipeline;
    SourceWatch watch;
    std::string error;  // why the files' present state is not what serves
  };
  void Renew(Loaded& loaded);
  PipelinePtr FindLoaded(const std::string& name) const;
  PipelinePtr Find(const std::string& name, Failure* failure) const;  // null: see the failure
  void RunOne(const CallPtr& call, const std::string& name, script::Document document);
  static void Cancel(const OneRun& run);

  script::Loop& loop_;
  script::Models& models_;
  const script::PipelineOptions options_;
  const script::Loop::Address address_;
  std::vector<Loaded> loaded_;
  std::vector<PipelinePtr> replaced_;  // documents are under way in them
};

// grpc.health.v1.Health: "" and every service by its name, and "models/NAME" for each model.
// The server is SERVING when it is ready and not draining.
class Health {
 public:
  void AddTo(Router& router);  // after all others
  void SetReady(bool ready);
  void SetModel(const ModelStatus& model);
  bool ready() const;

 private:
  struct Watcher {
    std::string service;
    CallPtr call;
    int last = -1;
  };
  int StatusOf(const std::string& service) const;  // -1: unknown; under mutex_
  void Tell();                                     // under mutex_

  mutable std::mutex mutex_;  // guards all below
  bool ready_ = false;
  std::map<std::string, bool> models_;
  std::vector<std::string> services_;
  std::list<Watcher> watchers_;
};

// grpc.reflection.v1 and v1alpha, for the services of the router. After all others.
void AddReflection(Router& router);

}  // namespace minnow::service
