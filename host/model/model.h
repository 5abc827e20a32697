// A loaded model: the file's metadata, tokenizer, chat template, and the graph that its
// architecture builds. No device is involved yet; Instance places it on devices. Threads: immutable
// after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/gguf.h"
#include "graph/builder.h"
#include "plugins/registry.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minnow::model {

struct LoadOptions {
  uint32_t n_ctx = 0;  // positions per sequence; 0: what the model was trained for, at most 8192
};

class Model {
 public:
  // Refuses a file whose architecture no plugin builds, whose tensors do not fit the graph, or
  // whose tokenizer is unknown; each message names the file, the thing and the remedy.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                   plugins::Registry& registry,
                                                   const LoadOptions& options = {});

  const std::string& path() const { return file_.path(); }
  const std::string& architecture() const { return architecture_; }
  const std::string& name() const { return name_; }  // general.name, else the file's name
  uint32_t n_ctx() const { return n_ctx_; }
  const formats::GgufReader& file() const { return file_; }
  const mnw_model_info& info() const { return info_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  // Null if the file has none.
  const text::ChatTemplate* chat_template() const { return template_ ? &*template_ : nullptr; }

  // The graph, made anew: a pure function of the file and of n_ctx. `adapters`: with their sites.
  Result<graph::BuiltGraph> BuildGraph(bool adapters = false) const;

  // Plain text as it is, with BOS where the model wants one. Control tokens in it are ordinary
  // text.
  Result<std::vector<text::TokenId>> EncodeText(std::string_view text) const;
  // Messages through the chat template; control tokens come from the template alone. Fails with
  // kPrecondition if the model has no template.
  Result<std::vector<text::TokenId>> EncodeChat(text::ChatInput input) const;
  // One user turn, the reply to begin: {"role": "user", "content": content}.
  Result<std::vector<text::TokenId>> EncodeTurn(std::string_view content) const;

 private:
  explicit Model(formats::GgufReader file) : file_(std::move(file)) {}
  Status LoadText();

  formats::GgufReader file_;
  std::string architecture_, name_;
  const mnw_arch* arch_ = nullptr;
  uint32_t n_ctx_ = 0;
  mnw_model_info info_{};
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<text::ChatTemplate> template_;
};

}  // namespace minnow::model
