// The runtime's models as scripts see them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "engine/runtime.h"
#include "script/model_api.h"

namespace minnow::script {

class EngineModels : public Models {
 public:
  explicit EngineModels(engine::Runtime& runtime);  // which must outlive this
  ~EngineModels() override;

  Result<ModelApi*> Open(const std::string& name) override;

 private:
  class EngineModel;

  engine::Runtime& runtime_;
  std::mutex mutex_;
  std::map<engine::Engine*, std::unique_ptr<EngineModel>> models_;  // guarded by mutex_
};

}  // namespace minnow::script
