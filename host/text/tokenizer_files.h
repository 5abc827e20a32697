// Reads vocabularies and chat templates from the files that models come with.
//
// Files are untrusted: every count and id is checked before it is used, and what this tokenizer
// would do differently from the file's own is refused by name. Threads: pure functions.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/status.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace minnow::text {

// What a model says of text.
struct ModelText {
  Vocabulary vocabulary;
  std::optional<std::string> chat_template;  // in Jinja
};

// tokenizer.ggml.*: byte-level BPE ("gpt2"), SentencePiece BPE ("llama") and WordPiece ("bert").
Result<Vocabulary> LoadVocabulary(const formats::GgufReader& gguf);
Result<ModelText> LoadText(const formats::GgufReader& gguf);

// A tokenizer.json with a BPE model, byte-level or SentencePiece-like, or with an uncased WordPiece
// model. `config` is the text of the tokenizer_config.json beside it, which names BOS, EOS and
// padding; empty where there is none.
Result<Vocabulary> ParseTokenizerJson(std::string_view json, std::string_view config);
// A tokenizer.json and what stands beside it: tokenizer_config.json, chat_template.jinja, and the
// ids that end an answer in generation_config.json or config.json.
Result<ModelText> LoadTokenizerJson(const std::string& path);

// A SentencePiece .model with a BPE model.
Result<Vocabulary> ParseSentencePiece(std::string_view file);

// Whichever of these the file's content shows it to be; of a folder its tokenizer.json.
Result<ModelText> LoadText(const std::string& path);
Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path);

// For the loaders. A SentencePiece piece as it is written in files: U+2581 is a space.
std::string SpacesOfPiece(std::string_view written);
// The byte that "<0x41>" stands for, or -1.
int ByteOfPiece(std::string_view written);

// The ids of a merge written as two pieces, and of what they make.
class MergeReader {
 public:
  // `pieces`: as written in the file, by id.
  explicit MergeReader(std::span<const std::string_view> pieces);
  Result<Merge> Read(std::string_view left, std::string_view right) const;
  Result<Merge> Read(std::string_view line) const;  // "left right"
  TokenId Find(std::string_view piece) const;       // or kNoToken

 private:
  std::unordered_map<std::string_view, TokenId> ids_;
};

}  // namespace minnow::text
