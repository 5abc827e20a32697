#include "script/recorded_models.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <type_traits>
#include <utility>

#include "base/sha256.h"
#include "script/model_json.h"
#include "text/utf8.h"

namespace minnow::script {

using Json = nlohmann::ordered_json;
using Tokens = Recording::Tokens;

namespace {

// How an adapter's model is called in the file.
std::string AdapterKey(const std::string& model, const std::string& adapter, float scale) {
  return fmt::format("{} + {} * {}", model, adapter, scale);
}

// A question without what may differ from run to run, or stands in the prompt's own line; documents
// by their hash.
template <class Request>
Json Question(const char* call, const Request& request) {
  Json json = ToJson(request);
  for (const char* name : {"prompt", "tokens", "priority", "deadline", "speculate"}) {
    json.erase(name);
  }
  // An answer without one is asked for as it was before there were any.
  if constexpr (requires { request.constraint; }) {
    if (!request.constraint) {
      json.erase("constraint");
    } else {
      json["constraint"]["document"] = Sha256Hex(request.constraint.document);
    }
  }
  if constexpr (requires { request.document; }) json["document"] = Sha256Hex(request.document);
  return Json{{call, std::move(json)}};
}

// Prompts by where they leave the first, which stands in its own line.
Json ClassifyCall(const engine::ClassifyRequest& request) {
  Json call = Question("classify", request);
  const std::vector<engine::TokenId>& first = request.questions[0].prompt;
  for (Json& question : call["classify"]["questions"]) {
    for (const char* name : {"prompt", "prior_prompt"}) {
      const auto tokens = question[name].get<Tokens>();
      question.erase(name);
      if (tokens.empty() || tokens == first) continue;
      const auto same = std::ranges::mismatch(tokens, first).in1 - tokens.begin();
      question[name] = {{"as_first", same}, {"then", Tokens(tokens.begin() + same, tokens.end())}};
    }
  }
  return call;
}

// Of a usage, what differs from run to run.
constexpr const char* kOfTheRun[] = {"cached_tokens", "drafted_tokens",  "accepted_tokens",
                                     "queue_seconds", "prefill_seconds", "decode_seconds"};

// Few tokens are forced: only those say so.
void DropUnforced(Json& tokens) {
  for (Json& token : tokens) {
    if (!token["forced"].get<bool>()) token.erase("forced");
  }
}

void AddUnforced(Json& answer) {
  const auto tokens = answer.find("tokens");
  if (tokens == answer.end() || !tokens->is_array()) return;
  for (Json& token : *tokens) {
    if (token.is_object() && !token.contains("forced")) token["forced"] = false;
  }
}

template <class R>
Json Answer(const R& result) {
  Json json = ToJson(result);
  if constexpr (std::is_same_v<R, engine::GenerateResult>) DropUnforced(json["tokens"]);
  for (const char* name : kOfTheRun) json["usage"].erase(name);
  json.erase("fingerprint");  // of the machine that recorded, and none is replayed
  return json;
}

template <class R>
Status ReadAnswer(Json json, R* result) {
  if (const auto usage = json.find("usage"); usage != json.end() && usage->is_object()) {
    for (const char* name : kOfTheRun) (*usage)[name] = 0;
  }
  if constexpr (requires { result->fingerprint; }) json["fingerprint"] = "";
  if constexpr (std::is_same_v<R, engine::GenerateResult>) AddUnforced(json);
  return FromJson(json, result);
}

Json TokensAnswer(const Result<Tokens>& tokens) {
  return tokens.ok() ? Json{{"tokens", *tokens}} : Json{{"error", ToJson(tokens.status())}};
}

// Documents with bytes that are no UTF-8 are told apart, too.
Json Exact(const Json& value) {
  if (value.is_string()) return TextToJson(value.get_ref<const std::string&>());
  Json exact = value;
  for (Json& member : exact) {
    if (member.is_string() || member.is_structured()) member = Exact(member);
  }
  return exact;
}

Json ChatPrompt(const Json& messages) { return Json{{"chat", Exact(messages)}}; }
Json TextPrompt(std::string_view text) { return Json{{"text", TextToJson(text)}}; }
Json ContinuationPrompt(std::string_view text) { return Json{{"continuation", TextToJson(text)}}; }

// The end of what was asked, which is where the question stands.
std::string Shortened(const Json& prompt) {
  constexpr size_t kLength = 120;
  std::string text = prompt.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= kLength) return text;
  size_t from = text.size() - kLength;
  while ((static_cast<unsigned char>(text[from]) & 0xC0) == 0x80) ++from;
  return "..." + text.substr(from);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

// --- The recording

void Recording::AddModel(const std::string& model, Json line) {
  std::lock_guard lock(mutex_);
  models_.insert_or_assign(model, std::move(line));
}

const Json* Recording::FindModel(const std::string& model) const {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  return found == models_.end() ? nullptr : &found->second;
}

void Recording::AddPrompt(const std::string& model, const Json& prompt, Json answer) {
  std::lock_guard lock(mutex_);
  prompts_.emplace(std::pair(model, Dump(prompt)), std::move(answer));
}

const Json* Recording::FindPrompt(const std::string& model, const Json& prompt) const {
  std::lock_guard lock(mutex_);
  const auto found = prompts_.find(std::pair(model, Dump(prompt)));
  return found == prompts_.end() ? nullptr : &found->second;
}

void Recording::AddCall(const std::string& model, const Tokens& prompt, const Json& call,
                        Json answer) {
  std::lock_guard lock(mutex_);
  calls_.emplace(std::tuple(model, prompt, Dump(call)), std::move(answer));
}

const Json* Recording::FindCall(const std::string& model, const Tokens& prompt,
                                const Json& call) const {
  std::lock_guard lock(mutex_);
  const auto found = calls_.find(std::tuple(model, prompt, Dump(call)));
  return found == calls_.end() ? nullptr : &found->second;
}

Json Recording::PromptOf(const std::string& model, const Tokens& tokens) const {
  std::lock_guard lock(mutex_);
  const Json wanted = tokens;
  for (auto it = prompts_.lower_bound({model, ""});
       it != prompts_.end() && it->first.first == model; ++it) {
    const auto found = it->second.find("tokens");
    if (found != it->second.end() && *found == wanted) return Json::parse(it->first.second);
  }
  return nullptr;
}

// --- The file. A line is {"model", "name", "fingerprint"} or {"model", <how it was put>, "tokens"
// | "error", "calls": [{<call>: {...}, "answer": {...}}]}.

Status Recording::Save(const std::string& path) const {
  std::string text;
  for (const auto& [model, line] : models_) {
    Json json = {{"model", model}};
    json.update(line);
    text += Dump(json) + "\n";
  }
  std::map<std::pair<std::string, Tokens>, Json> calls;  // each list is written once
  for (const auto& [key, answer] : calls_) {
    const auto& [model, tokens, question] = key;
    Json call = Json::parse(question);
    call["answer"] = answer;
    calls.try_emplace({model, tokens}, Json::array()).first->second.push_back(std::move(call));
  }
  for (const auto& [key, answer] : prompts_) {
    Json json = {{"model", key.first}};
    json.update(Json::parse(key.second));
    json.update(answer);
    if (const auto tokens = answer.find("tokens"); tokens != answer.end()) {
      auto node = calls.extract({key.first, tokens->get<Tokens>()});
      if (node) json["calls"] = std::move(node.mapped());
    }
    text += Dump(json) + "\n";
  }
  std::error_code error;
  if (text.empty()) {
    std::filesystem::remove(path, error);
    return {};
  }
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::binary);
  file << text;
  file.close();
  if (file) std::filesystem::rename(temporary, path, error);
  if (file && !error) return {};
  std::filesystem::remove(temporary, error);
  return Error(Code::kInvalid, "cannot write the answers to '{}'", path);
}

Status Recording::Load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  size_t n = 0;
  for (std::string line; std::getline(file, line);) {
    ++n;
    Status status;
    try {
      const Json json = Json::parse(line);
      status = AddLine(json);
    } catch (const Json::exception& e) {
      status = Error(Code::kCorrupt, "{}", e.what());
    }
    if (!status.ok()) {
      return std::move(status).Annotate(fmt::format("{}:{}: not an answer", path, n));
    }
  }
  return {};
}

// REQUIRES: a caller that catches what Json throws.
Status Recording::AddLine(const Json& line) {
  const std::string model = line.at("model").get<std::string>();
  if (line.contains("refused")) {
    models_.emplace(model, Json{{"refused", line["refused"]}});
    return {};
  }
  if (line.contains("name")) {
    models_.emplace(model, Json{{"name", line["name"].get<std::string>()},
                                {"fingerprint", line.at("fingerprint").get<std::string>()},
                                {"longest", line.value("longest", 0u)}});
    return {};
  }
  for (const char* how : {"chat", "text", "continuation"}) {
    if (!line.contains(how)) continue;
    const char* what = line.contains("error") ? "error" : "tokens";
    prompts_.emplace(std::pair(model, Dump(Json{{how, line[how]}})), Json{{what, line.at(what)}});
    if (!line.contains("calls")) return {};
    const auto tokens = line.at("tokens").get<Tokens>();
    for (Json call : line["calls"]) {
      Json answer = call.at("answer");
      call.erase("answer");
      calls_.emplace(std::tuple(model, tokens, Dump(call)), std::move(answer));
    }
    return {};
  }
  return Error(Code::kCorrupt, "neither a model nor a prompt");
}

// --- Recording

namespace {

class RecordedModel : public ModelApi {
 public:
  RecordedModel(ModelApi& model, std::string key, Recording& recording)
      : model_(model), key_(std::move(key)), recording_(recording) {}

  ModelApi& model() const { return model_; }
  const std::string& key() const { return key_; }

  const std::string& name() const override { return model_.name(); }
  Result<std::string> Fingerprint() const override { return model_.Fingerprint(); }
  Result<uint32_t> Longest() const override { return model_.Longest(); }

  Result<Tokens> EncodeText(std::string_view text) const override {
    return Keep(TextPrompt(text), model_.EncodeText(text));
  }
  Result<Tokens> EncodeChat(const Json& messages) const override {
    return Keep(ChatPrompt(messages), model_.EncodeChat(messages));
  }
  Result<Tokens> EncodeContinuation(std::string_view text) const override {
    return Keep(ContinuationPrompt(text), model_.EncodeContinuation(text));
  }

  // The pieces are kept for whoever streams the same question.
  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    const Kept kept{*this, request.prompt, Question("generate", request)};
    const auto pieces = std::make_shared<std::vector<size_t>>();
    request.on_token = [pieces, on_token = std::move(request.on_token)](
                           std::string_view text, const engine::GeneratedToken& token) {
      pieces->push_back(text.size());
      if (on_token) on_token(text, token);
    };
    request.on_done = [kept, pieces,
                       on_done = std::move(request.on_done)](engine::GenerateResult result) {
      if (result.finish_reason != engine::FinishReason::kCancelled) {
        Json answer = Answer(result);
        answer["pieces"] = *pieces;
        kept.Add(std::move(answer));
      }
      on_done(std::move(result));
    };
    return kept.Submitted(model_.Generate(std::move(request)));
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    const Kept kept{*this, request.questions[0].prompt, ClassifyCall(request)};
    request.on_done = kept.Around(std::move(request.on_done));
    return kept.Submitted(model_.Classify(std::move(request)));
  }

  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    const Kept kept{*this, request.prompt, Question("score", request)};
    request.on_done = kept.Around(std::move(request.on_done));
    return kept.Submitted(model_.Score(std::move(request)));
  }

  Result<engine::RequestId> Extract(engine::ExtractRequest request) override {
    const Kept kept{*this, request.prompt, Question("extract", request)};
    request.on_done = kept.Around(std::move(request.on_done));
    return kept.Submitted(model_.Extract(std::move(request)));
  }

  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    const Kept kept{*this, request.tokens, Question("embed", request)};
    request.on_done = [kept, on_done = std::move(request.on_done)](
                          Status status, std::vector<float> embedding, engine::Usage usage) {
      if (status.code() != Code::kCancelled) {
        kept.Add(Answer(EmbedResult{status, embedding, usage}));
      }
      on_done(std::move(status), std::move(embedding), usage);
    };
    return kept.Submitted(model_.Embed(std::move(request)));
  }

  void Cancel(engine::RequestId id) override { model_.Cancel(id); }

  // Not recorded: no answer depends on it.
  Result<Tokens> DocumentPrefix(std::string_view document) const override {
    return model_.DocumentPrefix(document);
  }
  Result<engine::RequestId> Hold(engine::HoldRequest request) override {
    return model_.Hold(std::move(request));
  }

 private:
  // A question that waits for its answer.
  struct Kept {
    RecordedModel& model;
    Tokens prompt;
    Json question;

    void Add(Json answer) const {
      model.recording_.AddCall(model.key_, prompt, question, std::move(answer));
    }
    template <class R>
    std::function<void(R)> Around(std::function<void(R)> on_done) const {
      return [kept = *this, on_done = std::move(on_done)](R result) {
        if (result.status.code() != Code::kCancelled) kept.Add(Answer(result));
        on_done(std::move(result));
      };
    }
    Result<engine::RequestId> Submitted(Result<engine::RequestId> id) const {
      if (!id.ok()) Add(Json{{"refused", ToJson(id.status())}});
      return id;
    }
  };

  Result<Tokens> Keep(const Json& prompt, Result<Tokens> tokens) const {
    recording_.AddPrompt(key_, prompt, TokensAnswer(tokens));
    return tokens;
  }

  ModelApi& model_;
  const std::string key_;
  Recording& recording_;
};

class RecordingModels : public Models {
 public:
  RecordingModels(Models& models, Recording& recording) : models_(models), recording_(recording) {}

  Result<ModelApi*> Open(const std::string& name) override {
    return Keep(models_.Open(name), name);
  }

  Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) override {
    const auto& base = static_cast<RecordedModel&>(model);
    return Keep(models_.OpenAdapter(base.model(), name, scale),
                AdapterKey(base.key(), name, scale));
  }

 private:
  Result<ModelApi*> Keep(Result<ModelApi*> model, const std::string& key) {
    if (!model.ok()) {
      recording_.AddModel(key, {{"refused", ToJson(model.status())}});
      return model;
    }
    MNW_ASSIGN(std::string fingerprint, (*model)->Fingerprint());
    MNW_ASSIGN(const uint32_t longest, (*model)->Longest());
    recording_.AddModel(key, {{"name", (*model)->name()},
                              {"fingerprint", std::move(fingerprint)},
                              {"longest", longest}});
    std::lock_guard lock(mutex_);
    std::unique_ptr<RecordedModel>& kept = kept_[key];
    if (!kept) kept = std::make_unique<RecordedModel>(**model, key, recording_);
    return kept.get();
  }

  Models& models_;
  Recording& recording_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<RecordedModel>> kept_;  // guarded by mutex_
};

}  // namespace

std::unique_ptr<Models> RecordModels(Models& models, Recording& recording) {
  return std::make_unique<RecordingModels>(models, recording);
}

// --- Answering

class ReplayedModels::Model : public ModelApi {
 public:
  Model(ReplayedModels& models, std::string key, const Json& line)
      : models_(models),
        key_(std::move(key)),
        name_(line.value("name", "")),
        fingerprint_(line.value("fingerprint", "")),
        longest_(line.value("longest", 0u)) {}

  const std::string& key() const { return key_; }
  const std::string& name() const override { return name_; }
  Result<std::string> Fingerprint() const override { return fingerprint_; }
  Result<uint32_t> Longest() const override {
    if (longest_ > 0) return longest_;  // older recordings have none
    return models_.Missing(fmt::format("'{}' was not asked how long a request may be", key_));
  }

  Result<Tokens> EncodeText(std::string_view text) const override {
    return Encoded(TextPrompt(text));
  }
  Result<Tokens> EncodeChat(const Json& messages) const override {
    return Encoded(ChatPrompt(messages));
  }
  Result<Tokens> EncodeContinuation(std::string_view text) const override {
    return Encoded(ContinuationPrompt(text));
  }

  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    MNW_ASSIGN(Json answer, Find(request.prompt, Question("generate", request)));
    std::vector<size_t> pieces;
    engine::GenerateResult result;
    MNW_TRY(ReadGenerated(std::move(answer), &result, &pieces));
    size_t at = 0;
    for (const size_t size : pieces) {
      if (size > result.text.size() - at) break;  // a stop string's beginning that was held back
      if (request.on_token) request.on_token(std::string_view(result.text).substr(at, size), {});
      at += size;
    }
    request.on_done(std::move(result));
    return ++last_request_;
  }

  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    return Reply<engine::ClassifyResult>(request.questions[0].prompt, ClassifyCall(request),
                                         request.on_done);
  }

  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    return Reply<engine::ScoreResult>(request.prompt, Question("score", request), request.on_done);
  }

  Result<engine::RequestId> Extract(engine::ExtractRequest request) override {
    return Reply<engine::ExtractResult>(request.prompt, Question("extract", request),
                                        request.on_done);
  }

  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    return Reply<EmbedResult>(request.tokens, Question("embed", request), [&](EmbedResult result) {
      request.on_done(std::move(result.status), std::move(result.embedding), result.usage);
    });
  }

  void Cancel(engine::RequestId) override {}  // all is answered at once

  Result<Tokens> DocumentPrefix(std::string_view) const override { return Tokens(); }
  Result<engine::RequestId> Hold(engine::HoldRequest request) override {
    request.on_done({}, ++last_request_, {});
    return last_request_.load();
  }

 private:
  Result<Tokens> Encoded(const Json& prompt) const {
    const Json* answer = models_.recording_.FindPrompt(key_, prompt);
    if (!answer) {
      return models_.Missing(fmt::format("'{}' was not asked {}", key_, Shortened(prompt)));
    }
    Tokens tokens;
    if (const auto found = answer->find("tokens"); found != answer->end()) {
      MNW_TRY(FromJson(*found, &tokens));
      return tokens;
    }
    Status status;
    MNW_TRY(FromJson(answer->at("error"), &status));
    return status;
  }

  Result<Json> Find(const Tokens& prompt, const Json& question) const {
    const Json* answer = models_.recording_.FindCall(key_, prompt, question);
    if (!answer) {
      return models_.Missing(fmt::format("'{}' was not asked {} about {}", key_, Dump(question),
                                         Shortened(models_.recording_.PromptOf(key_, prompt))));
    }
    const auto refused = answer->find("refused");
    if (refused == answer->end()) return *answer;
    Status status;
    MNW_TRY(FromJson(*refused, &status));
    return status;
  }

  static Status ReadGenerated(Json answer, engine::GenerateResult* result,
                              std::vector<size_t>* pieces) {
    if (const auto found = answer.find("pieces"); found != answer.end() && found->is_array()) {
      for (const Json& size : *found) pieces->push_back(size.is_number() ? size.get<size_t>() : 0);
      answer.erase("pieces");
    }
    return ReadAnswer(std::move(answer), result);
  }

  template <class R>
  Result<engine::RequestId> Reply(const Tokens& prompt, const Json& question,
                                  const std::function<void(R)>& on_done) {
    MNW_ASSIGN(Json answer, Find(prompt, question));
    R result;
    MNW_TRY(ReadAnswer(std::move(answer), &result));
    on_done(std::move(result));
    return ++last_request_;
  }

  ReplayedModels& models_;
  const std::string key_, name_, fingerprint_;
  const uint32_t longest_;
  std::atomic<engine::RequestId> last_request_ = 0;
};

ReplayedModels::ReplayedModels(const Recording& recording, std::string remedy)
    : recording_(recording), remedy_(std::move(remedy)) {}
ReplayedModels::~ReplayedModels() = default;

Status ReplayedModels::Missing(const std::string& what) {
  const Status status = Error(Code::kNotFound, "no recorded answer: {}; {}", what, remedy_);
  std::lock_guard lock(mutex_);
  missing_.push_back(status.message());
  return status;
}

std::vector<std::string> ReplayedModels::TakeMissing() {
  std::lock_guard lock(mutex_);
  return std::exchange(missing_, {});
}

Result<ModelApi*> ReplayedModels::Find(const std::string& key) {
  const Json* line = recording_.FindModel(key);
  if (!line) return Missing(fmt::format("model '{}' was not opened", key));
  if (const auto refused = line->find("refused"); refused != line->end()) {
    Status status;
    MNW_TRY(FromJson(*refused, &status));
    return status;
  }
  std::lock_guard lock(mutex_);
  std::unique_ptr<Model>& model = models_[key];
  if (!model) model = std::make_unique<Model>(*this, key, *line);
  return model.get();
}

Result<ModelApi*> ReplayedModels::Open(const std::string& name) { return Find(name); }

Result<ModelApi*> ReplayedModels::OpenAdapter(ModelApi& model, const std::string& name,
                                              float scale) {
  return Find(AdapterKey(static_cast<Model&>(model).key(), name, scale));
}

}  // namespace minnow::script
