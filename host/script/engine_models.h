// The runtime's models as scripts see them.
//
// An adapter that is opened stays open for the script: if it loses its place to another, the next
// call through it loads it again. Threads: as model_api.h says.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "engine/runtime.h"
#include "script/late_calls.h"
#include "script/model_api.h"

namespace minnow::script {

class EngineModels : public Models {
 public:
  explicit EngineModels(engine::Runtime& runtime);  // which must outlive this
  ~EngineModels() override;

  Result<ModelApi*> Open(const std::string& name) override;
  Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) override;

 private:
  class EngineModel;
  ModelApi* Find(engine::Engine& engine, const std::string& adapter_path, float scale);

  engine::Runtime& runtime_;
  std::mutex mutex_;
  // By engine, path of the adapter, empty: none, and its scale. Guarded by mutex_.
  std::map<std::tuple<engine::Engine*, std::string, float>, std::unique_ptr<EngineModel>> models_;
  LateCalls late_;
};

// For scripts of strangers: models by what they are called in the model folders, and no paths,
// whose errors would tell what is in other people's files.
class FolderModels : public Models {
 public:
  FolderModels(Models& models, const engine::Runtime& runtime)
      : models_(models), runtime_(runtime) {}

  Result<ModelApi*> Open(const std::string& name) override;
  Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) override;

 private:
  Result<std::string> Find(const std::string& name, const char* kind) const;

  Models& models_;
  const engine::Runtime& runtime_;
};

}  // namespace minnow::script
