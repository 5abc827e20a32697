#include "script/engine_models.h"

#include <ctime>
#include <utility>

#include "base/cache_dir.h"
#include "formats/printable.h"
#include "model/content_hash.h"
#include "text/chat_template.h"

namespace minnow::script {

class EngineModels::EngineModel : public ModelApi {
 public:
  EngineModel(engine::Engine& engine, engine::AdapterId adapter, std::string adapter_path)
      : engine_(engine), adapter_(adapter), adapter_path_(std::move(adapter_path)) {}

  const std::string& name() const override { return model().name(); }

  Result<std::string> Fingerprint() const override {
    std::vector<std::string> files = model().source().files();
    if (adapter_ != 0) {
      for (std::string& file : model::FilesOf(adapter_path_)) files.push_back(std::move(file));
    }
    return model::ContentHash(files, CacheDirectory());
  }

  Result<uint32_t> Longest() const override { return engine_.longest(); }

  Result<std::vector<engine::TokenId>> EncodeText(std::string_view text) const override {
    return model().EncodeText(text);
  }

  Result<std::vector<engine::TokenId>> EncodeContinuation(std::string_view text) const override {
    return model().EncodeContinuation(text);
  }

  Result<std::vector<engine::TokenId>> EncodeChat(
      const nlohmann::ordered_json& messages) const override {
    text::ChatInput input;
    input.messages = messages;
    input.now = std::time(nullptr);
    return model().EncodeChat(input);
  }

  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    request.adapter = adapter_;
    return engine_.Generate(std::move(request));
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    request.adapter = adapter_;
    return engine::Classify(engine_, std::move(request));
  }

  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    request.adapter = adapter_;
    return engine::ScoreContinuations(engine_, std::move(request));
  }

  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    return engine_.Embed(std::move(request));
  }

  void Cancel(engine::RequestId id) override { engine_.Cancel(id); }

  Result<std::vector<engine::TokenId>> DocumentPrefix(std::string_view document) const override {
    return engine::DocumentPrefix(model(), document);
  }
  Result<engine::RequestId> Hold(engine::HoldRequest request) override {
    request.adapter = adapter_;
    return engine_.Hold(std::move(request));
  }
  Status SaveContext(engine::RequestId hold, std::string_view document,
                     const std::string& path) override {
    return engine::SaveContext(engine_, hold, adapter_, document, path);
  }
  Result<engine::RestoredContext> RestoreContext(const std::string& path) override {
    return engine::RestoreContext(engine_, adapter_, path);
  }

  engine::Engine& engine() const { return engine_; }
  engine::AdapterId adapter() const { return adapter_; }

 private:
  const model::Model& model() const { return engine_.instance().model(); }

  engine::Engine& engine_;
  const engine::AdapterId adapter_;
  const std::string adapter_path_;
};

EngineModels::EngineModels(engine::Runtime& runtime) : runtime_(runtime) {}
EngineModels::~EngineModels() = default;

Result<ModelApi*> EngineModels::Open(const std::string& name) {
  MNW_ASSIGN(engine::Engine * engine, runtime_.Open(name));
  MNW_TRY(runtime_.Identify(*engine));
  return Find(*engine, 0, "");
}

Result<ModelApi*> EngineModels::OpenAdapter(ModelApi& model, const std::string& name, float scale) {
  const auto& base = static_cast<EngineModel&>(model);
  if (base.adapter() != 0) {
    return Error(Code::kInvalid, "model '{}' has an adapter already; take it from the base",
                 base.name());
  }
  MNW_ASSIGN(const engine::AdapterId id, runtime_.OpenAdapter(base.engine(), name, scale));
  MNW_ASSIGN(std::string path, runtime_.Resolve(name, "adapter"));
  return Find(base.engine(), id, std::move(path));
}

Result<std::string> FolderModels::Find(const std::string& name, const char* kind) const {
  auto path = runtime_.FindInFolders(name, kind);
  if (path.status().code() != Code::kInvalid) return path;
  return Error(Code::kInvalid,
               "'{}' is no name: an untrusted script opens what is in the model folders "
               "(--model-dir, MINNOW_MODELS), by its name there and not by a path",
               formats::Printable(name));
}

Result<ModelApi*> FolderModels::Open(const std::string& name) {
  MNW_ASSIGN(const std::string path, Find(name, "model"));
  return models_.Open(path);
}

Result<ModelApi*> FolderModels::OpenAdapter(ModelApi& model, const std::string& name, float scale) {
  MNW_ASSIGN(const std::string path, Find(name, "adapter"));
  return models_.OpenAdapter(model, path, scale);
}

ModelApi* EngineModels::Find(engine::Engine& engine, engine::AdapterId adapter,
                             std::string adapter_path) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<EngineModel>& model = models_[{&engine, adapter}];
  if (!model) model = std::make_unique<EngineModel>(engine, adapter, std::move(adapter_path));
  return model.get();
}

}  // namespace minnow::script
