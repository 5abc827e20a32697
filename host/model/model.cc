#include "model/model.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/log.h"
#include "model/instance.h"
#include "model/metadata.h"
#include "text/chat_template.h"
#include "text/chat_tools.h"

namespace minnow::model {

namespace {

// Beyond this a cache for many sequences outgrows small machines; --ctx-size asks for more.
constexpr uint32_t kDefaultContext = 8192;

Result<std::string> RequiredString(const Source& source, const char* key) {
  MNW_ASSIGN(const auto value, source.FindString(key));
  if (!value) return Error(Code::kCorrupt, "the file has no '{}': is it a language model?", key);
  return std::string(*value);
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path,
                                                 plugins::Registry& registry,
                                                 const LoadOptions& options) {
  const auto load = [&]() -> Result<std::shared_ptr<const Model>> {
    MNW_ASSIGN(std::unique_ptr<const Source> opened, Source::Open(path));
    std::shared_ptr<Model> model(new Model(std::move(opened)));
    const Source& source = *model->source_;
    MNW_ASSIGN(model->architecture_, RequiredString(source, "general.architecture"));
    MNW_ASSIGN(const auto name, source.FindString("general.name"));
    model->name_ = name ? std::string(*name) : std::filesystem::path(path).stem().string();
    MNW_ASSIGN(model->arch_, registry.FindArch(model->architecture_));
    MNW_ASSIGN(const auto trained, source.FindI64(model->architecture_ + ".context_length"));
    const int64_t most = trained.value_or(kDefaultContext);
    if (most < 1 || most > (1 << 24)) {
      return Error(Code::kCorrupt, "'{}.context_length' is {}", model->architecture_, most);
    }
    model->n_ctx_ = options.n_ctx ? options.n_ctx
                                  : static_cast<uint32_t>(std::min<int64_t>(most, kDefaultContext));
    MNW_TRY(model->LoadText());
    MNW_ASSIGN(const graph::BuiltGraph built, model->BuildGraph());
    model->info_ = built.graph.info();
    for (const std::string& name : built.unused_tensors) {
      LogInfo("model '{}': tensor '{}' is not used by architecture '{}'", path, name,
              model->architecture_);
    }
    if (model->info_.n_vocab < model->tokenizer_->size()) {
      return Error(Code::kCorrupt, "the tokenizer has {} tokens, the model's table {} rows",
                   model->tokenizer_->size(), model->info_.n_vocab);
    }
    return std::shared_ptr<const Model>(std::move(model));
  };
  Result<std::shared_ptr<const Model>> result = load();
  if (!result.ok()) return std::move(result).status().Annotate(fmt::format("model '{}'", path));
  return result;
}

Model::Model(std::unique_ptr<const Source> source) : source_(std::move(source)) {}
Model::~Model() = default;

Status Model::LoadText() {
  MNW_ASSIGN(text::ModelText text, source_->LoadText());
  MNW_ASSIGN(tokenizer_, text::Tokenizer::Create(std::move(text.vocabulary)));
  if (!text.chat_template) return Status();
  auto compiled = text::ChatTemplate::Compile(*text.chat_template);
  if (!compiled.ok()) return std::move(compiled).status().Annotate("its chat template");
  template_ = std::make_unique<const text::ChatTemplate>(*std::move(compiled));
  return Status();
}

Result<graph::BuiltGraph> Model::BuildGraph(bool adapters) const {
  mnw_build_options options{};
  options.size = sizeof options;
  options.n_ctx = n_ctx_;
  options.page_tokens = kPageTokens;
  options.adapters = adapters;
  const Metadata metadata(*source_);
  return graph::BuildGraph(*arch_, metadata.abi(), options, source_->tensors());
}

Result<std::vector<text::TokenId>> Model::EncodeText(std::string_view text) const {
  return tokenizer_->Encode(text, false);
}

Result<std::vector<text::TokenId>> Model::EncodeContinuation(std::string_view text) const {
  text::EncodeOptions options;
  options.add_bos = false;
  return tokenizer_->Encode(text, false, options);
}

text::ChatInput Model::WithTokens(text::ChatInput input) const {
  const text::Vocabulary& vocabulary = tokenizer_->vocabulary();
  const auto piece = [&](text::TokenId id) -> std::optional<std::string> {
    if (id == text::kNoToken) return std::nullopt;
    return std::string(tokenizer_->TokenBytes(id));
  };
  input.bos_token = piece(vocabulary.bos);
  input.eos_token = piece(vocabulary.eos);
  return input;
}

Result<std::vector<text::TokenId>> Model::EncodeChat(text::ChatInput input) const {
  if (!template_) {
    return Error(Code::kPrecondition,
                 "model '{}' has no chat template; give it plain text or another model", name_);
  }
  input = WithTokens(std::move(input));
  if (input.tools && !text::FindToolUse(*template_, input).told) {
    MNW_TRY(text::TellOfTools(&input));
  }
  MNW_ASSIGN(const auto rendered, template_->Render(input));
  std::vector<text::Span> spans;
  for (const auto& span : rendered) spans.push_back({span.text, span.control});
  return tokenizer_->Encode(spans);
}

text::ToolUse Model::tool_use() const {
  if (!template_) return {false, text::ToolCallFormat::kJson};
  return text::FindToolUse(*template_, WithTokens({}));
}

Result<std::vector<text::TokenId>> Model::EncodeTurn(std::string_view content) const {
  text::ChatInput input;
  input.messages = nlohmann::ordered_json::array(
      {nlohmann::ordered_json{{"role", "user"}, {"content", std::string(content)}}});
  return EncodeChat(std::move(input));
}

}  // namespace minnow::model
