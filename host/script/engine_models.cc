#include "script/engine_models.h"

#include <ctime>
#include <utility>

namespace minnow::script {

class EngineModels::EngineModel : public ModelApi {
 public:
  explicit EngineModel(engine::Engine& engine) : engine_(engine) {}

  const std::string& name() const override { return model().name(); }

  Result<std::vector<engine::TokenId>> EncodeText(std::string_view text) const override {
    return model().EncodeText(text);
  }

  Result<std::vector<engine::TokenId>> EncodeChat(
      const nlohmann::ordered_json& messages) const override {
    text::ChatInput input;
    input.messages = messages;
    input.now = std::time(nullptr);
    return model().EncodeChat(input);
  }

  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    return engine_.Generate(std::move(request));
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    return engine::Classify(engine_, std::move(request));
  }

  void Cancel(engine::RequestId id) override { engine_.Cancel(id); }

 private:
  const model::Model& model() const { return engine_.instance().model(); }

  engine::Engine& engine_;
};

EngineModels::EngineModels(engine::Runtime& runtime) : runtime_(runtime) {}
EngineModels::~EngineModels() = default;

Result<ModelApi*> EngineModels::Open(const std::string& name) {
  MNW_ASSIGN(engine::Engine * engine, runtime_.Open(name));
  std::lock_guard lock(mutex_);
  std::unique_ptr<EngineModel>& model = models_[engine];
  if (!model) model = std::make_unique<EngineModel>(*engine);
  return model.get();
}

}  // namespace minnow::script
