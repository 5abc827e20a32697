// A tokenizer as data: the pieces, how they merge, how text is prepared, and what the special ids
// mean.
//
// Every loader (GGUF, tokenizer.json, SentencePiece) yields one of these, and Tokenizer::Create
// turns it into something that encodes. Pieces hold the bytes that they stand for in text: the byte
// alphabet of byte-level files and SentencePiece's U+2581 for a space are undone by the loaders. A
// WordPiece that begins a word has a space before it, one that goes on with a word has none.
// Threads: a value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace minnow::text {

using TokenId = int32_t;
inline constexpr TokenId kNoToken = -1;

// The numbers are those of GGUF's tokenizer.ggml.token_type and of SentencePiece.
enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown = 2,      // stands for text that has no piece
  kControl = 3,      // the model's control channel: found only in what a template wrote
  kUserDefined = 4,  // found whole in any text before anything else is done to it
  kUnused = 5,       // never produced
  kByte = 6,         // a single byte of text that has no piece
};

struct Piece {
  std::string bytes;
  float score = 0;
  PieceType type = PieceType::kNormal;
  bool eats_space_before = false;  // white space beside a control or user-defined token that goes
  bool eats_space_after = false;   // with it
};

struct Merge {
  TokenId left;
  TokenId right;
  TokenId result;
};

enum class TokenizerKind {
  kByteLevel,      // text is cut into words by patterns; a word starts as its bytes
  kSentencePiece,  // text starts as its characters; what has no piece falls back to byte pieces
  kWordPiece,      // words without case and accents, of the longest pieces that fit
};

// Where SentencePiece vocabularies put a space that the text does not have. A segment is what lies
// between two control or user-defined tokens.
enum class PrefixSpace {
  kNone,
  kTextStart,     // before the first segment, unless a token stands before it
  kAfterControl,  // at the start and after each control token, even right before a user-defined
                  // token
  kSegment,       // before every segment
};

struct Vocabulary {
  TokenizerKind kind = TokenizerKind::kByteLevel;
  std::vector<Piece> pieces;  // by id

  // In order of rank. Empty: any two neighbours whose bytes together are a piece merge, the highest
  // score first, the leftmost among equals.
  std::vector<Merge> merges;

  // Byte-level only.
  std::vector<std::string> word_patterns;  // PCRE2; each cuts what the one before it left
  bool normalize_nfc = false;
  bool whole_words_first = false;  // a word that is a piece is not built by merges

  // SentencePiece only.
  PrefixSpace prefix_space = PrefixSpace::kNone;
  bool prefix_unless_space = false;  // no added space where the segment has one
  bool trim_spaces = false;          // leading and trailing spaces go, runs become one
  bool split_at_spaces = false;      // no merge across the front of a space

  TokenId bos = kNoToken;  // WordPiece: [CLS] and [SEP], between which a text stands
  TokenId eos = kNoToken;
  TokenId eot = kNoToken;
  TokenId unk = kNoToken;  // SentencePiece and WordPiece only
  TokenId pad = kNoToken;
  bool add_bos = false;
  bool add_eos = false;

  // Every token that ends a turn or a text, ascending: those that a file lists, EOS, EOT and those
  // known by name.
  std::vector<TokenId> end_tokens;
};

// Checks ids, lengths and scores, makes control tokens of those that the vocabulary uses as such
// though files in the wild type them otherwise (a document could write them), and fills end_tokens.
Status CompleteVocabulary(Vocabulary& vocabulary);

}  // namespace minnow::text
