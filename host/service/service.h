// `minnow serve`, put together: models, pipelines, gRPC, the HTTP page.
//
//   Start: listens, NOT_SERVING      Load: models, then pipelines; SERVING
//   Drain: NOT_SERVING, no new work; done when all work is      destroyed: cuts what is left
//
// Threads: the loop's, which must be running for pipelines to get on; what runs beside it is the
// service's own. No protobuf or gRPC is seen from here up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/runtime.h"
#include "script/pipeline.h"
#include "service/server.h"

namespace minnow::service {

struct ServiceOptions {
  ServerOptions server;
  std::string http;        // address of metrics and health; empty: none
  std::string access_log;  // "-" is stderr; empty: none
  struct NamedModel {
    std::string name, path;
  };
  std::vector<NamedModel> models;
  struct NamedAdapter {
    std::string model, path;  // or a name in the model folders
    float scale = 1;
  };
  std::vector<NamedAdapter> adapters;
  std::vector<std::string> pipelines;  // Lua files
  std::string context_dir{};           // where clients save contexts; empty: nowhere
  script::PipelineOptions scripts{};   // what they may spend and reach
};

class Service {
 public:
  static Result<std::unique_ptr<Service>> Start(ServiceOptions options, engine::Runtime& runtime,
                                                script::Loop& loop);
  ~Service();

  // Opens what the options name; `done` is called on the loop.
  void Load(std::function<void(Status)> done);
  // On the loop. Files that change are loaded anew anyway; this reads all of them.
  void ReloadPipelines();
  void StopAdmitting();
  uint32_t requests() const;  // work under way

  const std::vector<int>& ports() const;
  size_t most_connections() const;
  int http_port() const;  // 0: none

 private:
  Service();
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

// NAME=PATH, or a path or name of a model alone, which is served as ServedName says.
ServiceOptions::NamedModel ParseNamedModel(const std::string& text);

}  // namespace minnow::service
