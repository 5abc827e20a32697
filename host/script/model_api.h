// What scripts ask of a model: the seam between the bridge and the engine (engine_models.h), and
// the place where tests put a model of their own.
//
// Threads: any. A callback of a request runs on a thread of the model's and returns at once. Models
// live as long as the Models they came from.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/classify.h"
#include "engine/context_file.h"
#include "engine/extract.h"
#include "engine/request.h"
#include "engine/score.h"

namespace minnow::script {

class ModelApi {
 public:
  virtual ~ModelApi() = default;

  virtual const std::string& name() const = 0;
  // The hash of its files' bytes, and of the adapter's. May take as long as reading them does.
  virtual Result<std::string> Fingerprint() const = 0;

  // Tokens that a request may have in all, prompt and answer.
  virtual Result<uint32_t> Longest() const = 0;

  // A prompt's tokens: text as it is, or a conversation through the model's chat template: a list
  // of messages, or {"messages", "tools"} where the model is told of tools.
  virtual Result<std::vector<engine::TokenId>> EncodeText(std::string_view text) const = 0;
  virtual Result<std::vector<engine::TokenId>> EncodeChat(
      const nlohmann::ordered_json& chat) const = 0;
  // What stands after a prompt, tokenized by itself.
  virtual Result<std::vector<engine::TokenId>> EncodeContinuation(std::string_view text) const = 0;

  // As of engine::Engine: a refusal means that no callback will come.
  virtual Result<engine::RequestId> Generate(engine::GenerateRequest request) = 0;
  virtual Result<engine::RequestId> Classify(
      engine::ClassifyRequest request) = 0;  // asks something
  virtual Result<engine::RequestId> Score(engine::ContinuationsRequest request) = 0;
  virtual Result<engine::RequestId> Extract(engine::ExtractRequest request) = 0;
  virtual Result<engine::RequestId> Embed(engine::EmbedRequest request) = 0;
  virtual void Cancel(engine::RequestId id) = 0;

  // What all questions about a document begin with; a hold of it (engine::Engine::Hold); and holds
  // as files, which block. Without them, scripts pin nothing.
  virtual Result<std::vector<engine::TokenId>> DocumentPrefix(std::string_view document) const;
  virtual Result<engine::RequestId> Hold(engine::HoldRequest request);
  virtual Status SaveContext(engine::RequestId hold, std::string_view document,
                             const std::string& path);
  virtual Result<engine::RestoredContext> RestoreContext(const std::string& path);
};

class Models {
 public:
  virtual ~Models() = default;

  // Opens the model, or finds it open; may take as long as reading its file does.
  virtual Result<ModelApi*> Open(const std::string& name) = 0;
  // The same model through an adapter. `model` is one of these.
  virtual Result<ModelApi*> OpenAdapter(ModelApi& model, const std::string& name, float scale) = 0;
};

// By what scripts opened them with.
using OpenModels = std::map<std::string, ModelApi*>;
// What an adapter of one of them is found by.
std::string AdapterKey(const OpenModels& open, const ModelApi& base, const std::string& name,
                       float scale);

}  // namespace minnow::script
