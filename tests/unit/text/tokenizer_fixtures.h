// Hand-made vocabularies, small enough to merge in one's head.
#pragma once

#include <CppUTest/TestHarness.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "test_util.h"
#include "text/tokenizer.h"

namespace minnow::text {

inline TokenId IdOf(const Vocabulary& v, std::string_view bytes) {
  for (size_t i = 0; i < v.pieces.size(); ++i) {
    if (v.pieces[i].bytes == bytes) return static_cast<TokenId>(i);
  }
  return kNoToken;
}

inline TokenId AddPiece(Vocabulary& v, std::string bytes, PieceType type = PieceType::kNormal,
                        float score = 0) {
  Piece piece;
  piece.bytes = std::move(bytes);
  piece.type = type;
  piece.score = score;
  v.pieces.push_back(std::move(piece));
  return static_cast<TokenId>(v.pieces.size() - 1);
}

inline void AddMerge(Vocabulary& v, const std::string& left, const std::string& right) {
  TokenId result = IdOf(v, left + right);
  if (result == kNoToken) result = AddPiece(v, left + right);
  v.merges.push_back({IdOf(v, left), IdOf(v, right), result});
}

// Ids 0 to 255 are the bytes. Words are runs of letters with a space before, and other things.
inline Vocabulary ByteLevelVocabulary() {
  Vocabulary v;
  v.kind = TokenizerKind::kByteLevel;
  for (int b = 0; b < 256; ++b) AddPiece(v, std::string(1, static_cast<char>(b)));
  AddMerge(v, "h", "e");        // 256
  AddMerge(v, "l", "l");        // 257
  AddMerge(v, "he", "ll");      // 258
  AddMerge(v, "l", "o");        // 259
  AddMerge(v, "a", "a");        // 260
  AddMerge(v, "\xC3", "\xA9");  // 261, é
  v.word_patterns = {R"( ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"};
  v.bos = AddPiece(v, "<|bos|>", PieceType::kControl);     // 262
  v.eos = AddPiece(v, "<|im_end|>", PieceType::kControl);  // 263
  AddPiece(v, "<|im|>", PieceType::kControl);              // 264
  AddPiece(v, "<think>", PieceType::kUserDefined);         // 265
  v.add_bos = true;
  return v;
}

// <unk> <s> </s>, the bytes when asked for, then pieces whose scores order the merges.
inline Vocabulary SentencePieceVocabulary(bool with_bytes) {
  Vocabulary v;
  v.kind = TokenizerKind::kSentencePiece;
  v.unk = AddPiece(v, "<unk>", PieceType::kUnknown);
  v.bos = AddPiece(v, "<s>", PieceType::kControl);
  v.eos = AddPiece(v, "</s>", PieceType::kControl);
  if (with_bytes) {
    for (int b = 0; b < 256; ++b) {
      AddPiece(v, std::string(1, static_cast<char>(b)), PieceType::kByte);
    }
  }
  float score = 0;
  for (const char* piece : {"ab", "bc", " a", "abc", " ab", "  ", " ", "a", "b", "c", "d"}) {
    AddPiece(v, piece, PieceType::kNormal, --score);
  }
  v.prefix_space = PrefixSpace::kSegment;
  v.add_bos = true;
  return v;
}

inline std::unique_ptr<Tokenizer> MakeTokenizer(Vocabulary v) {
  auto made = Tokenizer::Create(std::move(v));
  if (!made.ok()) FAIL(made.status().message().c_str());
  return *std::move(made);
}

constexpr EncodeOptions kBare{/*add_bos=*/false, /*add_eos=*/false};

inline std::vector<TokenId> Encode(const Tokenizer& t, std::span<const Span> spans,
                                   const EncodeOptions& options = kBare) {
  auto ids = t.Encode(spans, options);
  CHECK_OK(ids.status());
  return *std::move(ids);
}

inline std::vector<TokenId> Encode(const Tokenizer& t, std::string_view text, bool control = false,
                                   const EncodeOptions& options = kBare) {
  const Span span{text, control};
  return Encode(t, std::span(&span, 1), options);
}

// "he|ll|o": the pieces, for expectations that can be read.
inline std::string Pieces(const Tokenizer& t, std::span<const TokenId> ids) {
  std::string out;
  for (const TokenId id : ids) {
    if (!out.empty()) out += '|';
    out += t.TokenBytes(id);
  }
  return out;
}

}  // namespace minnow::text
