// A loaded model: the file's metadata, tokenizer, chat template and the graph its architecture builds.
// No device is involved yet; Instance places it on devices.
// Threads: immutable after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"
#include "graph/graph.h"
#include "plugins/registry.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minnow::model {

struct LoadOptions {
  uint32_t n_ctx = 0;  // positions per sequence; 0: what the model was trained for, at most 8192
};

class Model {
 public:
  // Refuses a file whose architecture no plugin builds, whose tensors do not fit the graph, or whose
  // tokenizer is unknown; each message names the file, the thing and the remedy.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                   const plugins::Registry& registry,
                                                   const LoadOptions& options = {});

  const std::string& path() const { return file_.path(); }
  const std::string& architecture() const { return architecture_; }
  const std::string& name() const { return name_; }  // general.name, else the file's name
  uint32_t n_ctx() const { return n_ctx_; }
  const formats::GgufReader& file() const { return file_; }
  const graph::Graph& graph() const { return *graph_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const text::ChatTemplate* chat_template() const { return template_ ? &*template_ : nullptr; }
  const std::vector<std::string>& unused_tensors() const { return unused_tensors_; }

  // The prompt's tokens: plain text as it is (with BOS where the model wants one), or messages through the
  // model's chat template. Document text never becomes control tokens.
  Result<std::vector<int32_t>> EncodeText(std::string_view text) const;
  Result<std::vector<int32_t>> EncodeChat(const text::ChatInput& input) const;

 private:
  explicit Model(formats::GgufReader file) : file_(std::move(file)) {}

  formats::GgufReader file_;
  std::string architecture_, name_;
  uint32_t n_ctx_ = 0;
  std::unique_ptr<graph::Graph> graph_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::vector<std::string> unused_tensors_;
};

}  // namespace minnow::model
