// adapter_config.json and adapter_model.safetensors, as PEFT saves a LoRA adapter.
#include <cmath>
#include <filesystem>
#include <map>
#include <vector>

#include "base/json.h"
#include "formats/printable.h"
#include "formats/safetensors.h"
#include "model/adapter_file.h"
#include "model/hf_tensors.h"

namespace minnow::model {
namespace {

using Json = nlohmann::ordered_json;
using formats::Printable;
using formats::SafetensorsTensor;

constexpr size_t kMaxConfigBytes = 4 << 20;

// Null where there is none.
const Json& Member(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool IsEmpty(const Json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty());
}

// What would make more of the adapter than pairs of matrices.
Status CheckKind(const Json& config) {
  const auto refuse = [&](const char* key) {
    return Error(Code::kUnsupported, "adapter_config.json: '{}' is {}, which is not supported", key,
                 Printable(Member(config, key).dump(), 100));
  };
  if (Member(config, "peft_type") != "LORA") return refuse("peft_type");
  const Json& bias = Member(config, "bias");
  if (!bias.is_null() && bias != "none") return refuse("bias");
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias", "modules_to_save",
                          "layer_replication", "alora_invocation_tokens", "trainable_token_indices",
                          "target_parameters", "megatron_config", "use_qalora", "arrow_config"}) {
    if (!IsEmpty(Member(config, key))) return refuse(key);
  }
  // Other names stand for ways that change the base's weights as well.
  const Json& init = Member(config, "init_lora_weights");
  const bool plain = init.is_null() || init.is_boolean() || init == "gaussian" || init == "eva" ||
                     init == "orthogonal";
  return plain ? Status() : refuse("init_lora_weights");
}

// The module's number in `r` or `lora_alpha`, unless the pattern of exceptions names its end.
Result<double> NumberFor(const Json& config, const char* key, const char* pattern,
                         std::string_view module) {
  const Json* number = &Member(config, key);
  const Json& exceptions = Member(config, pattern);
  for (const auto& [name, value] : exceptions.items()) {
    if (name.find_first_of("^$*+?()[]{}|\\") != std::string::npos) {
      return Error(Code::kUnsupported,
                   "adapter_config.json: '{}' has the pattern '{}'; only ends "
                   "of names are supported",
                   pattern, Printable(name, 100));
    }
    if (module == name || module.ends_with("." + name)) number = &value;
  }
  if (number->is_number() && std::isfinite(number->get<double>()) && number->get<double>() > 0) {
    return number->get<double>();
  }
  return Error(Code::kCorrupt, "adapter_config.json: '{}' is {}, must be a positive number", key,
               Printable(number->dump(), 100));
}

AdapterMatrix MatrixOf(const SafetensorsTensor& t) {
  AdapterMatrix m{t.name, t.type, {1, 1, 1, 1}, t.data};
  for (int i = 0; i < t.n_dims; ++i) {
    m.ne[static_cast<size_t>(i)] = t.shape[static_cast<size_t>(t.n_dims - 1 - i)];
  }
  return m;
}

// "base_model.model.M.lora_A.weight" as ("M", true); an empty module if the name is none of these.
std::pair<std::string_view, bool> ModuleOf(std::string_view name) {
  constexpr std::string_view kPrefix = "base_model.model.", kA = ".lora_A.weight",
                             kB = ".lora_B.weight";
  const bool is_a = name.ends_with(kA);
  if (!name.starts_with(kPrefix) || !(is_a || name.ends_with(kB)) ||
      name.size() < kPrefix.size() + kA.size()) {
    return {};
  }
  return {name.substr(kPrefix.size(), name.size() - kPrefix.size() - kA.size()), is_a};
}

Result<double> ScaleOf(const Json& config, std::string_view module, const AdapterMatrix& a) {
  MNW_ASSIGN(const double rank, NumberFor(config, "r", "rank_pattern", module));
  MNW_ASSIGN(const double alpha, NumberFor(config, "lora_alpha", "alpha_pattern", module));
  if (rank != static_cast<double>(a.ne[1])) {
    return Error(Code::kCorrupt, "tensor '{}' has rank {}, but adapter_config.json says {}",
                 Printable(a.name, 100), a.ne[1], rank);
  }
  return alpha / (Member(config, "use_rslora") == true ? std::sqrt(rank) : rank);
}

Result<std::vector<AdapterPair>> CollectPairs(std::span<const SafetensorsTensor> tensors,
                                              const Json& config, const AdapterTarget& target) {
  const auto rules = HfTensorRules(target.architecture);
  const mnw_model_info& info = target.graph.info();
  std::map<std::string, AdapterPair> pairs;
  for (const SafetensorsTensor& t : tensors) {
    const auto [module, is_a] = ModuleOf(t.name);
    const HfMapped mapped = MapHfTensor(rules, std::string(module) + ".weight");
    if (module.empty() || !mapped.rule) {
      return Error(Code::kUnsupported,
                   "tensor '{}' is no lora_A and no lora_B of a matrix of architecture '{}'",
                   Printable(t.name, 100), target.architecture);
    }
    AdapterPair& pair = pairs[mapped.name];
    pair.matrix = mapped.name;
    pair.n_heads = mapped.rule->form == HfForm::kQueryRows ? info.n_heads
                   : mapped.rule->form == HfForm::kKeyRows ? info.n_kv_heads
                                                           : 0;
    (is_a ? pair.a : pair.b) = MatrixOf(t);
    if (is_a) {
      MNW_ASSIGN(pair.scale, ScaleOf(config, module, pair.a));
    }
  }
  std::vector<AdapterPair> list;
  for (auto& [name, pair] : pairs) list.push_back(std::move(pair));
  return list;
}

}  // namespace

Result<Adapter> LoadPeftAdapter(const std::string& folder, const AdapterTarget& target,
                                float strength) {
  const std::filesystem::path path(folder);
  MNW_ASSIGN(const Json config,
             ReadJsonObject((path / "adapter_config.json").string(), kMaxConfigBytes));
  MNW_TRY(CheckKind(config));
  MNW_ASSIGN(const auto file,
             formats::SafetensorsReader::Open((path / "adapter_model.safetensors").string()));
  MNW_ASSIGN(const auto pairs, CollectPairs(file.tensors(), config, target));
  return FitAdapter(pairs, target, strength);
}

}  // namespace minnow::model
