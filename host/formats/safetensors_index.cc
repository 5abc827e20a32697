// model.safetensors.index.json: {"weight_map": {tensor: file}}.
#include <filesystem>
#include <map>
#include <unordered_set>

#include "base/json.h"
#include "formats/printable.h"
#include "formats/safetensors.h"

namespace minnow::formats {
namespace {

constexpr size_t kMaxIndexBytes = 16 << 20;
constexpr size_t kMaxShards = 4096;

// A file of the folder itself, never one elsewhere.
bool IsPlainName(std::string_view name) {
  return name.ends_with(".safetensors") && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos && !name.starts_with('.');
}

// The tensors that each file should hold.
using Shards = std::map<std::string, std::unordered_set<std::string>>;

Result<Shards> ReadIndex(const std::string& path) {
  MNW_ASSIGN(const auto index, ReadJsonObject(path, kMaxIndexBytes));
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty()) {
    return Error(Code::kCorrupt, "{}: has no weight_map of tensors to files", path);
  }
  Shards shards;
  for (const auto& [tensor, name] : map->items()) {
    if (!name.is_string() || !IsPlainName(name.get_ref<const std::string&>())) {
      return Error(Code::kCorrupt,
                   "{}: does not name a .safetensors file beside it for tensor '{}'", path,
                   Printable(tensor));
    }
    if (!shards[name.get<std::string>()].insert(tensor).second) {
      return Error(Code::kCorrupt, "{}: lists tensor '{}' twice", path, Printable(tensor));
    }
    if (shards.size() > kMaxShards) {
      return Error(Code::kCorrupt, "{}: names more than {} files", path, kMaxShards);
    }
  }
  return shards;
}

}  // namespace

Result<std::vector<SafetensorsReader>> SafetensorsReader::OpenFolder(const std::string& folder) {
  namespace fs = std::filesystem;
  const fs::path single = fs::path(folder) / "model.safetensors";
  const fs::path index = fs::path(folder) / "model.safetensors.index.json";
  std::vector<SafetensorsReader> readers;
  std::error_code ec;
  if (!fs::exists(index, ec)) {
    MNW_ASSIGN(SafetensorsReader reader, Open(single.string()));
    readers.push_back(std::move(reader));
    return readers;
  }
  MNW_ASSIGN(Shards shards, ReadIndex(index.string()));
  std::unordered_set<std::string> seen;
  for (auto& [name, expected] : shards) {
    MNW_ASSIGN(SafetensorsReader reader, Open((fs::path(folder) / name).string()));
    for (const SafetensorsTensor& tensor : reader.tensors()) {
      if (!seen.insert(tensor.name).second) {
        return Error(Code::kCorrupt, "{}: tensor '{}' is in another shard too",
                     reader.file().path(), Printable(tensor.name));
      }
      expected.erase(tensor.name);
    }
    if (!expected.empty()) {
      return Error(Code::kCorrupt, "{}: lacks tensor '{}', which {} says it has",
                   reader.file().path(), Printable(*expected.begin()), index.string());
    }
    readers.push_back(std::move(reader));
  }
  return readers;
}

}  // namespace minnow::formats
