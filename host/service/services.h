// The services: what each adds to the router. Threads: as Call's handlers.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "script/pipeline.h"
#include "service/metrics.h"
#include "service/model_table.h"
#include "service/router.h"
#include "service/workers.h"

namespace minnow::service {

// minnow.v1.Inference
class Inference {
 public:
  Inference(ModelTable& models, Metrics& metrics) : models_(models), metrics_(metrics) {}
  void AddTo(Router& router);

 private:
  ModelTable& models_;
  Metrics& metrics_;
};

// minnow.v1.Models. Loading and unloading wait on a thread of their own, one after the other.
class ModelService {
 public:
  explicit ModelService(ModelTable& models) : models_(models), admin_(1) {}
  void AddTo(Router& router);

 private:
  ModelTable& models_;
  Workers admin_;
};

// minnow.v1.Pipelines. Pipelines run on the loop's thread; calls come from others.
class PipelineService {
 public:
  explicit PipelineService(script::Loop& loop) : loop_(loop) {}
  void AddTo(Router& router);
  // On the loop's thread. kInvalid if there is one of that name.
  Status Add(std::unique_ptr<script::Pipeline> pipeline);

 private:
  class Stream;
  struct Run;
  // Null: see the failure. Pipelines live as long as the service.
  script::Pipeline* Find(const std::string& name, Failure* failure) const;
  Failure RunOne(const CallPtr& call, const google::protobuf::Message& request);

  script::Loop& loop_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<script::Pipeline>> pipelines_;  // guarded by mutex_
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
