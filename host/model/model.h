// A loaded model: its source's metadata, tokenizer, chat template, and the graph that its
// architecture builds. No device is involved yet; Instance places it on devices. Threads: immutable
// after Load.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/builder.h"
#include "model/source.h"
#include "plugins/registry.h"
#include "text/tokenizer.h"

namespace minnow::text {
class ChatTemplate;
struct ChatInput;
struct ToolUse;
}  // namespace minnow::text

namespace minnow::model {

struct LoadOptions {
  uint32_t n_ctx = 0;  // positions per sequence; 0: what the model was trained for, at most 8192
};

class Model {
 public:
  // `path`: as of Source::Open. Refuses a model whose architecture no plugin builds, whose tensors
  // do not fit the graph, or whose tokenizer is unknown; each message names the file, the thing and
  // the remedy.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                   plugins::Registry& registry,
                                                   const LoadOptions& options = {});
  ~Model();

  const std::string& path() const { return source_->path(); }
  const std::string& architecture() const { return architecture_; }
  const std::string& name() const { return name_; }  // general.name, else the file's name
  uint32_t n_ctx() const { return n_ctx_; }
  const Source& source() const { return *source_; }
  const mnw_model_info& info() const { return info_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  // Null if the model has none.
  const text::ChatTemplate* chat_template() const { return template_.get(); }

  // The graph, made anew: a pure function of the source and of n_ctx. `adapters`: with their sites.
  Result<graph::BuiltGraph> BuildGraph(bool adapters = false) const;

  // Plain text as it is, with BOS where the model wants one. Control tokens in it are ordinary
  // text.
  Result<std::vector<text::TokenId>> EncodeText(std::string_view text) const;
  // What stands after a prompt: likewise, without BOS. Tokenized by itself, so no token spans the
  // border.
  Result<std::vector<text::TokenId>> EncodeContinuation(std::string_view text) const;
  // Messages through the chat template; control tokens come from the template alone. Fails with
  // kPrecondition if the model has no template. Tools that the template has no place for are told
  // of in the first user's message.
  Result<std::vector<text::TokenId>> EncodeChat(text::ChatInput input) const;
  // What the template does with tools; of a model without one, nothing.
  text::ToolUse tool_use() const;
  // One user turn, the reply to begin: {"role": "user", "content": content}.
  Result<std::vector<text::TokenId>> EncodeTurn(std::string_view content) const;

 private:
  explicit Model(std::unique_ptr<const Source> source);
  Status LoadText();
  text::ChatInput WithTokens(text::ChatInput input) const;

  std::unique_ptr<const Source> source_;
  std::string architecture_, name_;
  const mnw_arch* arch_ = nullptr;
  uint32_t n_ctx_ = 0;
  mnw_model_info info_{};
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<const text::ChatTemplate> template_;
};

}  // namespace minnow::model
