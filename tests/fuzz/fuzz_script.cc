// A document whose pipeline is a stranger's: the input is the body of run(doc). It may take what
// its budgets give it and end as it likes; the next document must not notice.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/log.h"
#include "script/pipeline.h"

namespace {

using minnow::Result;
using minnow::Status;
namespace engine = minnow::engine;
namespace script = minnow::script;

// Answers with what it was asked, a letter of it a token. How a text begins says when: "later" in a
// turn of the loop of its own, "hang" when it is cancelled, "refuse" not at all; else at once.
class EchoModel : public script::ModelApi {
 public:
  explicit EchoModel(script::Loop& loop) : loop_(loop) {}

  size_t n_held() const { return held_.size(); }

  const std::string& name() const override { return name_; }
  Result<std::string> Fingerprint() const override { return name_; }
  Result<uint32_t> Longest() const override { return 1000; }
  Result<std::vector<engine::TokenId>> EncodeText(std::string_view text) const override {
    return std::vector<engine::TokenId>(text.begin(), text.end());
  }
  Result<std::vector<engine::TokenId>> EncodeContinuation(std::string_view text) const override {
    return EncodeText(text);
  }
  Result<std::vector<engine::TokenId>> EncodeChat(
      const nlohmann::ordered_json& chat) const override {
    const auto& messages = chat.is_object() ? chat["messages"] : chat;
    return EncodeText(messages.back().value("content", ""));
  }
  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    return Submit(request.prompt, [request](Status status, bool cancelled) {
      engine::GenerateResult result;
      result.status = std::move(status);
      result.finish_reason =
          cancelled ? engine::FinishReason::kCancelled : engine::FinishReason::kStop;
      for (const engine::TokenId token : request.prompt) {
        if (result.tokens.size() == request.max_tokens) break;
        result.tokens.push_back({token, -1, {}});
        result.text += static_cast<char>(token);
        if (request.on_token)
          request.on_token(result.text.substr(result.text.size() - 1), result.tokens.back());
      }
      result.usage.prompt_tokens = static_cast<uint32_t>(request.prompt.size());
      result.usage.completion_tokens = static_cast<uint32_t>(result.tokens.size());
      request.on_done(std::move(result));
    });
  }
  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    if (request.questions.empty()) return minnow::Error(minnow::Code::kInvalid, "no questions");
    for (const engine::LabelQuestion& question : request.questions) {
      if (question.labels.empty()) return minnow::Error(minnow::Code::kInvalid, "no labels");
    }
    return Submit(request.questions[0].prompt, [request](Status status, bool) {
      engine::ClassifyResult result;
      result.status = std::move(status);
      for (const engine::LabelQuestion& question : request.questions) {
        auto& labels = result.answers.emplace_back();
        for (const std::string& label : question.labels) labels.push_back({label, -1, 1});
      }
      request.on_done(std::move(result));
    });
  }
  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    return Submit(request.prompt, [request](Status status, bool) {
      engine::ScoreResult result;
      result.status = std::move(status);
      for (const auto& tokens : request.continuations)
        result.continuations.push_back({-1, tokens, {}});
      if (result.continuations.empty()) result.continuations.push_back({0, request.prompt, {}});
      request.on_done(std::move(result));
    });
  }
  Result<engine::RequestId> Extract(engine::ExtractRequest request) override {
    engine::ExtractResult result;
    result.json = R"({"a": [1, null, {}]})";
    result.fields = {{"/a/0", 0.5, {{0, request.document.size(), 1}}, ""}};
    request.on_done(std::move(result));
    return 1;
  }
  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    return Submit(request.tokens, [request](Status status, bool) {
      request.on_done(status, {1, 0}, {});
    });
  }
  Result<std::vector<engine::TokenId>> DocumentPrefix(std::string_view text) const override {
    return EncodeText(text);
  }
  Result<engine::RequestId> Hold(engine::HoldRequest request) override {
    const engine::RequestId id = ++last_id_;
    held_[id] = [](Status, bool) {};
    request.on_done(Status(), id, {});
    return id;
  }
  void Cancel(engine::RequestId id) override {
    const auto node = held_.extract(id);
    if (node) loop_.Post([end = node.mapped()] { end({}, true); });
  }

 private:
  using End = std::function<void(Status, bool cancelled)>;

  Result<engine::RequestId> Submit(const std::vector<engine::TokenId>& prompt, End end) {
    const std::string text(prompt.begin(), prompt.end());
    if (text.starts_with("refuse")) return minnow::Error(minnow::Code::kExhausted, "full");
    const engine::RequestId id = ++last_id_;
    Status status;
    if (text.starts_with("fail")) status = minnow::Error(minnow::Code::kInternal, "failed");
    if (text.starts_with("hang")) {
      held_[id] = std::move(end);
    } else if (text.starts_with("later")) {
      loop_.Post([end, status] { end(status, false); });
    } else {
      end(std::move(status), false);
    }
    return id;
  }

  script::Loop& loop_;
  const std::string name_ = "echo";
  engine::RequestId last_id_ = 0;
  std::map<engine::RequestId, End> held_;
};

class EchoModels : public script::Models {
 public:
  explicit EchoModels(script::Loop& loop) : model_(loop) {}
  const EchoModel& model() const { return model_; }
  Result<script::ModelApi*> Open(const std::string& name) override {
    if (name != "echo") return minnow::Error(minnow::Code::kNotFound, "no model '{}'", name);
    return &model_;
  }
  Result<script::ModelApi*> OpenAdapter(script::ModelApi&, const std::string&, float) override {
    return &model_;
  }

 private:
  EchoModel model_;
};

struct Host {
  std::unique_ptr<script::Loop> loop = *script::Loop::Create();
  EchoModels models{*loop};
  std::unique_ptr<script::Pipeline> pipeline;

  // The body of run is what the document's text says.
  Host() {
    minnow::SetLogLevel(minnow::LogLevel::kOff);
    const std::string path =
        (std::filesystem::temp_directory_path() / ("fuzz-" + std::to_string(getpid()) + ".lua"))
            .string();
    std::ofstream(path) << "local minnow = require 'minnow' local m = minnow.model 'echo' "
                           "return minnow.pipeline { name = 'fuzz', run = function(doc) "
                           "  local run = load(doc.text, '=input', 't', setmetatable("
                           "    { minnow = minnow, m = m, doc = doc }, { __index = _G })) "
                           "  return run and run() end }";
    script::PipelineOptions options;
    options.budget = {.memory_bytes = 8 << 20,
                      .instructions = 300'000,
                      .lua_seconds = 1,
                      .seconds = 0.02,
                      .tokens = 10'000,
                      .output_bytes = 100};
    auto loaded = script::Pipeline::Load(path, models, *loop, options);
    std::filesystem::remove(path);
    if (!loaded.ok()) std::abort();
    pipeline = *std::move(loaded);
    static std::FILE* const nowhere = std::fopen("/dev/null", "w");
    pipeline->print_to(nowhere);
  }

  script::DocumentResult Run(std::string text) {
    script::DocumentResult result;
    pipeline->Run({"id", "", std::move(text), {}}, [&](script::DocumentResult r) {
      result = std::move(r);
      loop->Stop();
    });
    loop->Run();
    // What a document waited for goes with it.
    if (loop->n_timers() > 0 || models.model().n_held() > 0) std::abort();
    return result;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Host& host = *new Host;
  host.Run(std::string(reinterpret_cast<const char*>(data), size));
  script::DocumentResult next;
  do {  // on a busy machine it may need longer than a document is given here
    next = host.Run("return { m:ask('a', 'b').text:upper(), #('x'):rep(3) }");
  } while (next.status.code() == minnow::Code::kDeadline);
  if (!next.status.ok() || next.value.size() != 2) std::abort();
  return 0;
}
