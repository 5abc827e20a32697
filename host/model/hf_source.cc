// A folder of Hugging Face's as a model's source: config.json, model.safetensors or its shards,
// tokenizer.json, and for encoders the pooling that sentence-transformers adds.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/json.h"
#include "formats/printable.h"
#include "formats/safetensors.h"
#include "model/content_hash.h"
#include "model/hf_config.h"
#include "model/hf_pooling.h"
#include "model/hf_tensors.h"
#include "model/source.h"

namespace minnow::model {
namespace {

namespace fs = std::filesystem;
using formats::SafetensorsReader;
using formats::SafetensorsTensor;

constexpr size_t kMaxConfigBytes = 4 << 20;
constexpr const char *kEmbedding = "token_embd.weight", *kHead = "output.weight";

class HfSource final : public Source {
 public:
  HfSource(std::string folder, HfConfig config, std::vector<SafetensorsReader> files)
      : Source(std::move(folder)), config_(std::move(config)), files_(std::move(files)) {}

  Status Translate();

  std::vector<std::string> files() const override { return FilesOf(path()); }

  Result<std::optional<int64_t>> FindI64(std::string_view key) const override {
    return Find<int64_t>(key, "an integer");
  }
  Result<std::optional<double>> FindF64(std::string_view key) const override {
    return Find<double>(key, "a float");
  }
  Result<std::optional<bool>> FindBool(std::string_view key) const override {
    return Find<bool>(key, "a bool");
  }
  Result<std::optional<std::string_view>> FindString(std::string_view key) const override {
    const auto found = config_.values.find(key);
    if (found == config_.values.end()) return std::optional<std::string_view>();
    const auto* text = std::get_if<std::string>(&found->second);
    if (!text) return WrongType(key, "a string");
    return std::optional<std::string_view>(*text);
  }
  // The translation writes no arrays.
  Result<std::optional<int64_t>> ElementI64(std::string_view, uint64_t) const override {
    return std::optional<int64_t>();
  }
  Result<std::optional<double>> ElementF64(std::string_view, uint64_t) const override {
    return std::optional<double>();
  }
  std::vector<std::pair<std::string, std::string>> Describe() const override {
    std::vector<std::pair<std::string, std::string>> lines;
    for (const auto& [key, value] : config_.values) {
      lines.emplace_back(key,
                         std::visit([](const auto& v) { return fmt::format("{}", v); }, value));
    }
    return lines;
  }

  Result<TensorBytes> Read(const graph::TensorInfo& tensor) const override {
    const Origin& origin = origins_[IndexOf(tensor)];
    if (origin.tensor) return HfTensorBytes(*origin.tensor, origin.form, config_.sizes);
    return TensorBytes{std::as_bytes(std::span(*origin.factors)), nullptr};
  }
  void Release(std::span<const std::byte> bytes) const override {
    for (const SafetensorsReader& file : files_) {
      const auto all = file.file().bytes();
      const bool inside = std::less_equal<>()(all.data(), bytes.data()) &&
                          std::less<>()(bytes.data(), all.data() + all.size());
      if (inside) file.file().Release(bytes);
    }
  }
  Status CheckUnchanged() const override {
    for (const SafetensorsReader& file : files_) MNW_TRY(file.file().CheckUnchanged());
    return Status();
  }
  Result<text::ModelText> LoadText() const override {
    return text::LoadTokenizerJson((fs::path(path()) / "tokenizer.json").string());
  }

 private:
  // Where a tensor's bytes come from.
  struct Origin {
    const SafetensorsTensor* tensor;  // null: the list
    HfForm form;
    const std::vector<float>* factors;  // of config.json
  };

  static Status WrongType(std::string_view key, const char* expected) {
    return Error(Code::kCorrupt, "the value of '{}' is not {}", key, expected);
  }
  template <class T>
  Result<std::optional<T>> Find(std::string_view key, const char* expected) const {
    const auto found = config_.values.find(key);
    if (found == config_.values.end()) return std::optional<T>();
    const T* value = std::get_if<T>(&found->second);
    if (!value) return WrongType(key, expected);
    return std::optional<T>(*value);
  }
  void TieHead(std::vector<graph::TensorInfo>& tensors);
  Status CheckComplete(std::span<const HfTensorRule> rules) const;

  const HfConfig config_;
  const std::vector<SafetensorsReader> files_;
  std::vector<Origin> origins_;  // by tensor
};

Status HfSource::Translate() {
  const auto rules = HfTensorRules(config_.architecture);
  std::vector<graph::TensorInfo> tensors;
  for (const SafetensorsReader& file : files_) {
    for (const SafetensorsTensor& t : file.tensors()) {
      HfMapped mapped = MapHfTensor(rules, t.name);
      if (!mapped.rule) {
        return Error(Code::kUnsupported,
                     "{}: tensor '{}' has no place in architecture '{}' as it is known here",
                     file.file().path(), formats::Printable(t.name), config_.architecture);
      }
      const HfForm form = mapped.rule->form;
      if (form == HfForm::kUnused) continue;
      auto info = HfTensorInfo(t, std::move(mapped.name), form, config_.sizes);
      if (!info.ok()) return std::move(info).status().Annotate(file.file().path());
      tensors.push_back(*std::move(info));
      origins_.push_back({&t, form, nullptr});
    }
  }
  TieHead(tensors);
  for (const auto& [name, factors] : config_.rope_factors) {
    graph::TensorInfo info{name};
    info.ne[0] = static_cast<int64_t>(factors.size());
    tensors.push_back(std::move(info));
    origins_.push_back({nullptr, HfForm::kSame, &factors});
  }
  SetTensors(std::move(tensors));
  return CheckComplete(rules);
}

// Of a head that is the embedding a folder may have either or both.
void HfSource::TieHead(std::vector<graph::TensorInfo>& tensors) {
  const auto head = std::ranges::find(tensors, kHead, &graph::TensorInfo::name);
  if (head == tensors.end() || !config_.tied.value_or(true)) return;
  if (std::ranges::find(tensors, kEmbedding, &graph::TensorInfo::name) == tensors.end()) {
    head->name = kEmbedding;
  } else if (config_.tied) {
    origins_.erase(origins_.begin() + (head - tensors.begin()));
    tensors.erase(head);
  }
}

// By the names that the folder has: the graph knows only its own.
Status HfSource::CheckComplete(std::span<const HfTensorRule> rules) const {
  MNW_ASSIGN(const auto n_layers, FindI64(config_.architecture + ".block_count"));
  for (const HfTensorRule& rule : rules) {
    const bool needed =
        !rule.optional || (rule.ours == kHead && config_.tied == std::optional(false));
    if (!needed) continue;
    const bool by_layer = rule.ours.find('#') != std::string_view::npos;
    for (int64_t l = 0; l < (by_layer ? *n_layers : 1); ++l) {
      if (FindTensor(HfNameAt(rule.ours, l))) continue;
      return Error(Code::kCorrupt, "{} lacks the tensor '{}', which config.json calls for",
                   files_.size() == 1 ? files_[0].file().path() : "the model's shards",
                   HfNameAt(rule.theirs, l));
    }
  }
  MNW_ASSIGN(const auto n_vocab, FindI64(config_.architecture + ".vocab_size"));
  const int64_t rows = FindTensor(kEmbedding)->ne[1];
  if (rows == *n_vocab) return Status();
  return Error(Code::kCorrupt, "config.json: 'vocab_size' is {}, but the embedding has {} rows",
               *n_vocab, rows);
}

}  // namespace

Result<std::unique_ptr<const Source>> Source::OpenFolder(const std::string& folder) {
  const fs::path path(folder);
  std::error_code ec;
  if (!fs::exists(path / "config.json", ec)) {
    return Error(Code::kNotFound,
                 "there is no config.json in '{}': want a GGUF file, or a folder as transformers' "
                 "save_pretrained writes it",
                 folder);
  }
  MNW_ASSIGN(const auto json, ReadJsonObject((path / "config.json").string(), kMaxConfigBytes));
  MNW_ASSIGN(HfConfig config, TranslateHfConfig(json));
  if (config.architecture == "bert") {
    MNW_ASSIGN(config.values["bert.pooling_type"], ReadHfPooling(folder));
  }
  config.values["general.architecture"] = config.architecture;
  config.values["general.name"] = fs::weakly_canonical(path, ec).filename().string();
  auto files = SafetensorsReader::OpenFolder(folder);
  if (!files.ok() && files.status().code() == Code::kNotFound) {
    return Error(Code::kNotFound, "{}; weights are read from safetensors alone",
                 files.status().message());
  }
  if (!files.ok()) return std::move(files).status();
  auto source = std::make_unique<HfSource>(folder, std::move(config), *std::move(files));
  MNW_TRY(source->Translate());
  return std::unique_ptr<const Source>(std::move(source));
}

}  // namespace minnow::model
