#include "model/source.h"

#include <filesystem>

namespace minnow::model {

Result<std::unique_ptr<const Source>> Source::Open(const std::string& path) {
  const std::filesystem::path file(path);
  std::error_code ec;
  if (std::filesystem::is_directory(file, ec)) return OpenFolder(path);
  const std::string name = file.filename().string();
  if (name == "model.safetensors" || name == "model.safetensors.index.json") {
    return OpenFolder(file.has_parent_path() ? file.parent_path().string() : ".");
  }
  return OpenGguf(path);
}

void Source::SetTensors(std::vector<graph::TensorInfo> tensors) {
  tensors_ = std::move(tensors);
  for (size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

const graph::TensorInfo* Source::FindTensor(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

}  // namespace minnow::model
