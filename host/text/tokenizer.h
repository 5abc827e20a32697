// Text to token ids and back, exactly as the model's own tokenizer does it, with one difference: a
// document cannot speak on the model's control channel.
//
// A prompt is a row of spans. Control tokens are found only in what the template wrote; in a
// document
// "<|im_end|>" is ordinary text. Ordinary text of neighbouring spans is tokenized jointly, as if it
// were one string, since that is how the model saw it in training.
//
// Bytes that are not UTF-8 pass through: as their bytes in byte-level vocabularies (NFC and word
// patterns apply to what stands between them), as byte pieces in SentencePiece ones. A byte that
// has no piece becomes the unknown token, or nothing where the vocabulary has none.
//
// Threads: Tokenizer is immutable, all methods may run on many threads at once. A StreamDecoder
// belongs to one stream.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/added_tokens.h"
#include "text/segment_encoder.h"
#include "text/vocabulary.h"

namespace minnow::text {

struct Span {
  std::string_view text;
  bool control;  // written by the template: control tokens are recognized
};

struct EncodeOptions {
  bool add_bos = true;   // BOS where the model's tokenizer adds one; never a second one
  bool add_eos = false;  // EOS where the model's tokenizer adds one; WordPiece: as add_bos
};

struct DecodeOptions {
  bool skip_control = true;  // leave out the text of control and unknown tokens
};

class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Create(Vocabulary vocabulary);
  Tokenizer(const Tokenizer&) = delete;  // the encoder refers to the vocabulary
  Tokenizer& operator=(const Tokenizer&) = delete;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  size_t size() const { return vocabulary_.pieces.size(); }

  Result<std::vector<TokenId>> Encode(std::span<const Span> spans,
                                      const EncodeOptions& options = {}) const;
  // One span, written by the template when `parse_special`.
  Result<std::vector<TokenId>> Encode(std::string_view text, bool parse_special,
                                      const EncodeOptions& options = {}) const;

  // The bytes that went in, where Encode gave these ids; they need not be UTF-8. The space that
  // SentencePiece puts before a segment is taken off again. Ids outside the vocabulary have no
  // bytes.
  std::string Decode(std::span<const TokenId> ids, const DecodeOptions& options = {}) const;
  std::string_view TokenBytes(TokenId id) const;

  bool IsControl(TokenId id) const;
  bool EndsTurn(TokenId id) const;  // one of vocabulary().end_tokens

 private:
  friend class StreamDecoder;
  explicit Tokenizer(Vocabulary vocabulary);

  // Appends the text of one token. `at_prefix`: a leading space here would be the encoder's;
  // updated.
  void AppendText(TokenId id, const DecodeOptions& options, bool& at_prefix,
                  std::string& out) const;

  Vocabulary vocabulary_;
  AddedTokens added_;
  std::unique_ptr<SegmentEncoder> segments_;
};

// Decodes token by token into text that is always well-formed UTF-8: a character whose bytes are
// not all there yet is held back, bytes that are none become U+FFFD.
class StreamDecoder {
 public:
  // `context`: the tokens before the first one to come, which decide whether a leading space was
  // the encoder's. The tokenizer must outlive the decoder.
  explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {},
                         std::span<const TokenId> context = {});

  std::string Push(TokenId id);  // the text that is complete now
  std::string Finish();          // what is still held back

 private:
  std::string TakeComplete(bool last);

  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  bool at_prefix_;
  std::string held_;
};

}  // namespace minnow::text
