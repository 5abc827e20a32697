#include "model/hf_pooling.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/json.h"
#include "formats/printable.h"

namespace minnow::model {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using formats::Printable;

constexpr size_t kMaxConfigBytes = 1 << 20;

struct Pooling {
  int64_t type;
  std::string_view key, name;
};
constexpr Pooling kPoolings[] = {
    {1, "pooling_mode_mean_tokens", "mean"},
    {2, "pooling_mode_cls_token", "cls"},
    {3, "pooling_mode_lasttoken", "lasttoken"},
};
constexpr int64_t kMean = 1;

// Older files have a flag for each kind, newer ones a name.
Result<int64_t> PoolingOf(const Json& config) {
  std::optional<int64_t> type;
  for (const auto& [key, value] : config.items()) {
    const bool by_flag = key.starts_with("pooling_mode_") && value == true;
    if (!by_flag && key != "pooling_mode") continue;
    const auto* found =
        std::ranges::find_if(kPoolings, [&, &key = key, &value = value](const Pooling& p) {
          return by_flag ? key == p.key : value == p.name;
        });
    if (found == std::end(kPoolings) || type) {
      return Error(Code::kUnsupported, "'{}' is not supported; known are mean, cls and lasttoken",
                   Printable(by_flag ? key : value.dump()));
    }
    type = found->type;
  }
  if (!type) return Error(Code::kCorrupt, "it names no kind of pooling");
  return *type;
}

// "sentence_transformers.models.Pooling" as "Pooling".
std::string KindOf(const Json& module) {
  const Json type = module.is_object() ? module.value("type", Json()) : Json();
  if (!type.is_string()) return {};
  const std::string name = type.get<std::string>();
  return name.substr(name.rfind('.') + 1);
}

Result<int64_t> ReadModules(const std::string& folder, const Json& modules) {
  std::optional<int64_t> type;
  for (const Json& module : modules) {
    const std::string kind = KindOf(module);
    if (kind == "Transformer" || kind == "Normalize") continue;
    if (kind != "Pooling" || type) {
      return Error(Code::kUnsupported,
                   "the module {} is not supported; known are Transformer, one Pooling, Normalize",
                   Printable(module.dump()));
    }
    const Json path = module.value("path", Json());
    const std::string name = path.is_string() ? path.get<std::string>() : std::string();
    if (name.empty() || name.starts_with('.') ||
        name.find_first_of(std::string("/\0", 2)) < name.size()) {
      return Error(Code::kCorrupt,
                   "the module Pooling has the path {}, which is no folder beside it",
                   Printable(path.dump()));
    }
    const std::string file = (fs::path(folder) / name / "config.json").string();
    MNW_ASSIGN(const Json config, ReadJsonObject(file, kMaxConfigBytes));
    auto found = PoolingOf(config);
    if (!found.ok()) return std::move(found).status().Annotate(file);
    type = *found;
  }
  if (!type) return Error(Code::kCorrupt, "it lists no Pooling");
  return *type;
}

}  // namespace

Result<int64_t> ReadHfPooling(const std::string& folder) {
  const std::string path = (fs::path(folder) / "modules.json").string();
  auto modules = ReadJsonFile(path, kMaxConfigBytes);
  if (!modules.ok() && modules.status().code() == Code::kNotFound) return kMean;
  if (!modules.ok()) return std::move(modules).status();
  auto type = ReadModules(folder, *modules);
  if (!type.ok()) return std::move(type).status().Annotate(path);
  return type;
}

}  // namespace minnow::model
