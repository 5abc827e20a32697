#include "script/engine_models.h"

#include <ctime>
#include <type_traits>
#include <utility>

#include "base/cache_dir.h"
#include "formats/printable.h"
#include "model/content_hash.h"
#include "text/chat_template.h"

namespace minnow::script {

namespace {

// Documents that go through other adapters come to their ends, and places free.
Result<engine::AdapterHold> OpenPatiently(engine::Runtime& runtime, engine::Engine& engine,
                                          const std::string& path, float scale) {
  const engine::Clock::time_point until = engine::Clock::now() + kAdapterPatience;
  auto hold = runtime.OpenAdapter(engine, path, scale);
  while (hold.status().code() == Code::kUnavailable && engine::Clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    hold = runtime.OpenAdapter(engine, path, scale);
  }
  return hold;
}

}  // namespace

class EngineModels::EngineModel : public ModelApi {
 public:
  EngineModel(engine::Runtime& runtime, LateCalls& late, engine::Engine& engine,
              std::string adapter_path, float scale)
      : runtime_(runtime),
        late_(late),
        engine_(engine),
        adapter_path_(std::move(adapter_path)),
        scale_(scale) {}

  const std::string& name() const override { return model().name(); }

  Result<std::string> Fingerprint() const override {
    std::vector<std::string> files = model().source().files();
    if (has_adapter()) {
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
      const nlohmann::ordered_json& chat) const override {
    text::ChatInput input;
    input.messages = chat.is_object() ? chat["messages"] : chat;
    if (chat.is_object()) input.tools = chat["tools"];
    input.now = std::time(nullptr);
    return model().EncodeChat(input);
  }

  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    return Send(std::move(request), [](engine::Engine& engine, engine::GenerateRequest r) {
      return engine.Generate(std::move(r));
    });
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    return Send(std::move(request), engine::Classify);
  }

  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    return Send(std::move(request), engine::ScoreContinuations);
  }

  Result<engine::RequestId> Extract(engine::ExtractRequest request) override {
    return Send(std::move(request), engine::Extract);
  }

  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    return engine_.Embed(std::move(request));
  }

  void Cancel(engine::RequestId id) override {
    if (!late_.Cancel(id)) engine_.Cancel(id);
  }

  Result<std::vector<engine::TokenId>> DocumentPrefix(std::string_view document) const override {
    return engine::DocumentPrefix(model(), document);
  }
  Result<engine::RequestId> Hold(engine::HoldRequest request) override {
    return Send(std::move(request), [](engine::Engine& engine, engine::HoldRequest r) {
      return engine.Hold(std::move(r));
    });
  }
  Status SaveContext(engine::RequestId hold, std::string_view document,
                     const std::string& path) override {
    return engine::SaveContext(engine_, hold, document, path);
  }
  Result<engine::RestoredContext> RestoreContext(const std::string& path) override {
    if (!has_adapter()) return engine::RestoreContext(engine_, 0, path);
    MNW_ASSIGN(const engine::AdapterHold adapter,
               OpenPatiently(runtime_, engine_, adapter_path_, scale_));
    return engine::RestoreContext(engine_, adapter->id(), path);
  }

  engine::Engine& engine() const { return engine_; }
  bool has_adapter() const { return !adapter_path_.empty(); }

 private:
  // Through the adapter, which keeps its place until the request is done.
  template <class Request, class To>
  Result<engine::RequestId> Send(Request request, To to) {
    if (!has_adapter()) return to(engine_, std::move(request));
    if (auto hold = runtime_.FindAdapter(engine_, adapter_path_, scale_)) {
      return to(engine_, Through(std::move(hold), std::move(request), [] {}));
    }
    const auto done = request.on_done;
    LateCalls::Call call{engine_, adapter_path_, scale_, nullptr, nullptr};
    call.send = [this, to, request = std::move(request)](engine::AdapterHold hold,
                                                         const std::function<void()>& ended) {
      return to(engine_, Through(std::move(hold), request, ended));
    };
    call.fail = [done](Status status) { Fail(done, std::move(status)); };
    return late_.Add(std::move(call));
  }

  template <class Request>
  static Request Through(engine::AdapterHold hold, Request request, std::function<void()> ended) {
    request.adapter = hold->id();
    request.on_done = [hold = std::move(hold), ended = std::move(ended),
                       done = std::move(request.on_done)](auto... result) mutable {
      hold.reset();  // who hears of the end finds the place free
      ended();
      done(std::move(result)...);
    };
    return request;
  }

  static void Fail(const decltype(engine::HoldRequest::on_done)& done, Status status) {
    done(std::move(status), 0, {});
  }

  template <class R>
  static void Fail(const std::function<void(R)>& done, Status status) {
    R result;
    if constexpr (std::is_same_v<R, engine::GenerateResult>) {
      if (status.code() == Code::kCancelled) {  // which is how a generation may end
        result.finish_reason = engine::FinishReason::kCancelled;
        status = Status();
      }
    }
    result.status = std::move(status);
    done(std::move(result));
  }

  const model::Model& model() const { return engine_.instance().model(); }

  engine::Runtime& runtime_;
  LateCalls& late_;
  engine::Engine& engine_;
  const std::string adapter_path_;
  const float scale_;
};

EngineModels::EngineModels(engine::Runtime& runtime) : runtime_(runtime), late_(runtime) {}
EngineModels::~EngineModels() = default;

Result<ModelApi*> EngineModels::Open(const std::string& name) {
  MNW_ASSIGN(engine::Engine * engine, runtime_.Open(name));
  MNW_TRY(runtime_.Identify(*engine));
  return Find(*engine, "", 1);
}

Result<ModelApi*> EngineModels::OpenAdapter(ModelApi& model, const std::string& name, float scale) {
  const auto& base = static_cast<EngineModel&>(model);
  if (base.has_adapter()) {
    return Error(Code::kInvalid, "model '{}' has an adapter already; take it from the base",
                 base.name());
  }
  MNW_ASSIGN(const std::string path, runtime_.Resolve(name, "adapter"));
  MNW_ASSIGN(const engine::AdapterHold hold, OpenPatiently(runtime_, base.engine(), path, scale));
  return Find(base.engine(), hold->path(), scale);
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

ModelApi* EngineModels::Find(engine::Engine& engine, const std::string& adapter_path, float scale) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<EngineModel>& model = models_[{&engine, adapter_path, scale}];
  if (!model) {
    model = std::make_unique<EngineModel>(runtime_, late_, engine, adapter_path, scale);
  }
  return model.get();
}

}  // namespace minnow::script
