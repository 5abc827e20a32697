#include "script/remote_models.h"

#include <utility>

#include "script/model_json.h"

namespace minnow::script {

using Json = nlohmann::ordered_json;
using Tokens = Result<std::vector<engine::TokenId>>;

class RemoteModels::RemoteModel : public ModelApi {
 public:
  RemoteModel(ChildLink& link, uint64_t id, std::string name)
      : link_(link), id_(id), name_(std::move(name)) {}

  uint64_t id() const { return id_; }
  const std::string& name() const override { return name_; }

  Result<std::string> Fingerprint() const override {
    MNW_ASSIGN(const Json value, link_.Ask({{"type", "fingerprint"}, {"model", id_}}));
    std::string fingerprint;
    MNW_TRY(FromJson(value, &fingerprint));
    return fingerprint;
  }

  Result<uint32_t> Longest() const override {
    MNW_ASSIGN(const Json value, link_.Ask({{"type", "longest"}, {"model", id_}}));
    uint32_t longest = 0;
    MNW_TRY(FromJson(value, &longest));
    return longest;
  }

  Tokens EncodeText(std::string_view text) const override {
    return Encode("text", TextToJson(text));
  }
  // As its text: messages may be nested as deep as JSON may.
  Tokens EncodeChat(const Json& messages) const override {
    return Encode("chat",
                  ValueToJson(messages).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  Tokens EncodeContinuation(std::string_view text) const override {
    return Encode("continuation", TextToJson(text));
  }

  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    const bool stream = request.on_token != nullptr;
    return link_.Request(
        {{"type", "generate"}, {"model", id_}, {"request", ToJson(request)}, {"stream", stream}},
        [on_token = std::move(request.on_token),
         on_done = std::move(request.on_done)](const Json& message) {
          if (message["type"] == "done") {
            engine::GenerateResult result;
            Status status = FromJson(message["result"], &result);
            if (!status.ok()) result.status = std::move(status);
            return on_done(std::move(result));
          }
          std::string text;
          engine::GeneratedToken token{};
          if (FromJson(message["text"], &text).ok() && FromJson(message["token"], &token).ok()) {
            on_token(text, token);
          }
        });
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    return RequestOne<engine::ClassifyResult>("classify", std::move(request));
  }
  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    return RequestOne<engine::ScoreResult>("score", std::move(request));
  }
  Result<engine::RequestId> Extract(engine::ExtractRequest request) override {
    return RequestOne<engine::ExtractResult>("extract", std::move(request));
  }

  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    return link_.Request({{"type", "embed"}, {"model", id_}, {"request", ToJson(request)}},
                         [on_done = std::move(request.on_done)](const Json& message) {
                           EmbedResult result;
                           Status status = FromJson(message["result"], &result);
                           if (status.ok()) status = std::move(result.status);
                           on_done(std::move(status), std::move(result.embedding), result.usage);
                         });
  }

  void Cancel(engine::RequestId id) override { link_.Forget(id); }

 private:
  Tokens Encode(const char* what, Json text) const {
    MNW_ASSIGN(
        const Json value,
        link_.Ask({{"type", "encode"}, {"model", id_}, {"what", what}, {"text", std::move(text)}}));
    std::vector<engine::TokenId> tokens;
    MNW_TRY(FromJson(value, &tokens));
    return tokens;
  }

  template <class ResultOf, class Request>
  Result<engine::RequestId> RequestOne(const char* type, Request request) {
    return link_.Request({{"type", type}, {"model", id_}, {"request", ToJson(request)}},
                         [on_done = std::move(request.on_done)](const Json& message) {
                           ResultOf result;
                           Status status = FromJson(message["result"], &result);
                           if (!status.ok()) result.status = std::move(status);
                           on_done(std::move(result));
                         });
  }

  ChildLink& link_;
  const uint64_t id_;
  const std::string name_;
};

RemoteModels::RemoteModels(ChildLink& link) : link_(link) {}
RemoteModels::~RemoteModels() = default;

Result<ModelApi*> RemoteModels::Open(const std::string& name) {
  return AskFor({{"type", "open"}, {"name", TextToJson(name)}});
}

Result<ModelApi*> RemoteModels::OpenAdapter(ModelApi& model, const std::string& name, float scale) {
  const uint64_t base = static_cast<RemoteModel&>(model).id();
  return AskFor({{"type", "adapter"},
                 {"model", base},
                 {"name", TextToJson(name)},
                 {"scale", FloatToJson(scale)}});
}

Result<ModelApi*> RemoteModels::AskFor(Json question) {
  MNW_ASSIGN(const Json value, link_.Ask(std::move(question)));
  std::string name;
  MNW_TRY(FromJson(value["name"], &name));
  const uint64_t id = value["model"].get<uint64_t>();
  const std::lock_guard lock(mutex_);
  std::unique_ptr<RemoteModel>& model = models_[id];
  if (!model) model = std::make_unique<RemoteModel>(link_, id, std::move(name));
  return model.get();
}

namespace {

class RemoteSources : public Sources {
 public:
  RemoteSources(ChildLink& link, std::string path) : link_(link), path_(std::move(path)) {}
  const std::string& path() const override { return path_; }
  const Files& files() const override { return files_; }  // the host's

  Result<Source> Read(const std::string& module) override {
    MNW_ASSIGN(const Json value, link_.Ask({{"type", "source"}, {"name", TextToJson(module)}}));
    Source source;
    MNW_TRY(FromJson(value["text"], &source.text));
    MNW_TRY(FromJson(value["chunk_name"], &source.chunk_name));
    return source;
  }

 private:
  ChildLink& link_;
  const std::string path_;
  const Files files_;
};

}  // namespace

std::unique_ptr<Sources> MakeRemoteSources(ChildLink& link, std::string path) {
  return std::make_unique<RemoteSources>(link, std::move(path));
}

}  // namespace minnow::script
