// A document whose pipeline is a stranger's: the input is the body of run(doc). It may take what
// its budgets give it and end as it likes; the next document must not notice.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/log.h"
#include "script/pipeline.h"

namespace {

using minnow::Result;
using minnow::Status;
namespace engine = minnow::engine;
namespace script = minnow::script;

// Answers at once: what it was asked, a letter of it a token.
class EchoModel : public script::ModelApi {
 public:
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
      const nlohmann::ordered_json& messages) const override {
    return EncodeText(messages.dump());
  }
  Result<engine::RequestId> Generate(engine::GenerateRequest request) override {
    engine::GenerateResult result;
    result.finish_reason = engine::FinishReason::kStop;
    for (const engine::TokenId token : request.prompt) {
      if (result.tokens.size() == request.max_tokens) break;
      result.tokens.push_back({token, -1, {}});
      result.text += static_cast<char>(token);
      if (request.on_token)
        request.on_token(result.text.substr(result.text.size() - 1), result.tokens.back());
    }
    request.on_done(std::move(result));
    return 1;
  }
  Result<engine::RequestId> Classify(engine::ClassifyRequest request) override {
    engine::ClassifyResult result;
    for (const std::string& label : request.labels) result.labels.push_back({label, -1, 0.5});
    if (result.labels.empty()) return minnow::Error(minnow::Code::kInvalid, "no labels");
    request.on_done(std::move(result));
    return 1;
  }
  Result<engine::RequestId> Score(engine::ContinuationsRequest request) override {
    engine::ScoreResult result;
    for (auto& tokens : request.continuations)
      result.continuations.push_back({-1, std::move(tokens), {}});
    request.on_done(std::move(result));
    return 1;
  }
  Result<engine::RequestId> Embed(engine::EmbedRequest request) override {
    request.on_done(Status(), {1, 0}, {});
    return 1;
  }
  void Cancel(engine::RequestId) override {}

 private:
  const std::string name_ = "echo";
};

class EchoModels : public script::Models {
 public:
  Result<script::ModelApi*> Open(const std::string&) override { return &model_; }
  Result<script::ModelApi*> OpenAdapter(script::ModelApi&, const std::string&, float) override {
    return &model_;
  }

 private:
  EchoModel model_;
};

struct Host {
  std::unique_ptr<script::Loop> loop = *script::Loop::Create();
  EchoModels models;
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
                      .lua_seconds = 5,
                      .seconds = 0.05,
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
    return result;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Host& host = *new Host;
  host.Run(std::string(reinterpret_cast<const char*>(data), size));
  const script::DocumentResult next =
      host.Run("return { m:ask('a', 'b').text:upper(), #('x'):rep(3) }");
  if (!next.status.ok() || next.value.size() != 2) std::abort();
  return 0;
}
