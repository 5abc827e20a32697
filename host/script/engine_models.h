// The runtime's models as scripts see them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/runtime.h"
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
  ModelApi* Find(engine::Engine& engine, engine::AdapterId adapter, std::string adapter_path);

  engine::Runtime& runtime_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::pair<engine::Engine*, engine::AdapterId>, std::unique_ptr<EngineModel>> models_;
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
