// A GGUF file as a model's source: it says everything itself, and all of it lies in the mapping.
#include "formats/gguf.h"
#include "model/source.h"

namespace minnow::model {
namespace {

using formats::GgufReader;

template <class Array>
auto Element(const Result<std::optional<Array>>& array, uint64_t index)
    -> Result<std::optional<typename Array::value_type>> {
  using T = typename Array::value_type;
  if (!array.ok()) return array.status();
  if (!*array || index >= (**array).size()) return std::optional<T>();
  return std::optional<T>((**array)[index]);
}

template <class To, class From>
Result<std::optional<To>> Widened(const Result<std::optional<From>>& found) {
  if (!found.ok()) return found.status();
  return *found ? std::optional<To>(static_cast<To>(**found)) : std::nullopt;
}

class GgufSource final : public Source {
 public:
  explicit GgufSource(GgufReader file) : Source(file.path()), file_(std::move(file)) {
    std::vector<graph::TensorInfo> tensors;
    for (const formats::GgufTensor& t : file_.tensors()) {
      tensors.push_back({std::string(t.name), t.type, t.ne});
    }
    SetTensors(std::move(tensors));
  }

  std::vector<std::string> files() const override {
    std::vector<std::string> paths;
    for (const MappedFile& file : file_.files()) paths.push_back(file.path());
    return paths;
  }

  Result<std::optional<int64_t>> FindI64(std::string_view key) const override {
    return file_.FindI64(key);
  }
  Result<std::optional<double>> FindF64(std::string_view key) const override {
    return file_.FindF64(key);
  }
  Result<std::optional<bool>> FindBool(std::string_view key) const override {
    return file_.FindBool(key);
  }
  Result<std::optional<std::string_view>> FindString(std::string_view key) const override {
    return file_.FindString(key);
  }
  // Through the whole array: arrays here have one entry per layer.
  Result<std::optional<int64_t>> ElementI64(std::string_view key, uint64_t index) const override {
    const formats::GgufEntry* entry = file_.Find(key);
    if (entry && entry->is_array && entry->type == formats::GgufType::kBool) {
      return Widened<int64_t>(Element(file_.FindBools(key), index));
    }
    return Widened<int64_t>(Element(file_.FindI32s(key), index));
  }
  Result<std::optional<double>> ElementF64(std::string_view key, uint64_t index) const override {
    return Widened<double>(Element(file_.FindF32s(key), index));
  }
  std::vector<std::pair<std::string, std::string>> Describe() const override {
    std::vector<std::pair<std::string, std::string>> lines;
    for (const formats::GgufEntry& entry : file_.metadata()) {
      lines.emplace_back(entry.key, formats::GgufValueText(entry));
    }
    return lines;
  }

  Result<TensorBytes> Read(const graph::TensorInfo& tensor) const override {
    return TensorBytes{file_.tensors()[IndexOf(tensor)].data, nullptr};
  }
  void Release(std::span<const std::byte> bytes) const override { file_.Release(bytes); }
  Status CheckUnchanged() const override { return file_.CheckUnchanged(); }
  Result<text::ModelText> LoadText() const override { return text::LoadText(file_); }

 private:
  const GgufReader file_;
};

}  // namespace

Result<std::unique_ptr<const Source>> Source::OpenGguf(const std::string& path) {
  MNW_ASSIGN(GgufReader file, GgufReader::Open(path));
  return std::unique_ptr<const Source>(new GgufSource(std::move(file)));
}

}  // namespace minnow::model
