// Where a model comes from: a GGUF file or a folder of Hugging Face's. Nobody else knows which.
//
// A source speaks GGUF: values under its keys, tensors under its names, in its shapes and with its
// values; a folder is translated. Files are untrusted: Open checks all that it hands out, and each
// message names the file, the thing and the remedy. Threads: immutable after Open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graph/builder.h"
#include "text/tokenizer_files.h"

namespace minnow::model {

// The bytes of a tensor.
struct TensorBytes {
  std::span<const std::byte> bytes;
  std::unique_ptr<std::byte[]> made;  // what holds them; null: the source's mapping does
};

class Source {
 public:
  // A GGUF file; or a folder with config.json, or the model.safetensors or its index in one.
  static Result<std::unique_ptr<const Source>> Open(const std::string& path);
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  const std::string& path() const { return path_; }
  virtual std::vector<std::string> files() const = 0;  // all that it was read from

  // Typed values: nullopt when the key is absent, a failure that names it when its value is of
  // another type. Integers are taken where they fit.
  virtual Result<std::optional<int64_t>> FindI64(std::string_view key) const = 0;
  virtual Result<std::optional<double>> FindF64(std::string_view key) const = 0;
  virtual Result<std::optional<bool>> FindBool(std::string_view key) const = 0;
  virtual Result<std::optional<std::string_view>> FindString(std::string_view key) const = 0;
  // Element `index` of an array; a bool is 0 or 1.
  virtual Result<std::optional<int64_t>> ElementI64(std::string_view key, uint64_t index) const = 0;
  virtual Result<std::optional<double>> ElementF64(std::string_view key, uint64_t index) const = 0;
  // Every key with one line of text for its value.
  virtual std::vector<std::pair<std::string, std::string>> Describe() const = 0;

  std::span<const graph::TensorInfo> tensors() const { return tensors_; }  // in the files' order
  const graph::TensorInfo* FindTensor(std::string_view name) const;        // null when absent

  // The bytes of a tensor of tensors().
  virtual Result<TensorBytes> Read(const graph::TensorInfo& tensor) const = 0;
  // Gives the pages of bytes that lie in the mapping back to the system.
  virtual void Release(std::span<const std::byte> bytes) const = 0;
  virtual Status CheckUnchanged() const = 0;  // kCorrupt when a file is not as it was at Open

  virtual Result<text::ModelText> LoadText() const = 0;

 protected:
  explicit Source(std::string path) : path_(std::move(path)) {}
  void SetTensors(std::vector<graph::TensorInfo> tensors);  // names differ
  size_t IndexOf(const graph::TensorInfo& tensor) const {
    return static_cast<size_t>(&tensor - tensors_.data());
  }

 private:
  static Result<std::unique_ptr<const Source>> OpenGguf(const std::string& path);
  static Result<std::unique_ptr<const Source>> OpenFolder(const std::string& folder);

  const std::string path_;
  std::vector<graph::TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
};

}  // namespace minnow::model
