// SentencePiece's BPE: merge the characters of the whole text, then bytes for what has no piece.
#include <algorithm>
#include <array>

#include "text/segment_encoder.h"
#include "text/utf8.h"

namespace minnow::text {
namespace {

constexpr std::string_view kVisibleSpace = "\xE2\x96\x81";  // U+2581, a space to SentencePiece

// Leading spaces go, a run of them becomes one.
std::string CollapseSpaces(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c != ' ' || (!out.empty() && out.back() != ' ')) out += c;
  }
  return out;
}

std::string ShowSpaces(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t found = std::min(text.find(kVisibleSpace, at), text.size());
    out += text.substr(at, found - at);
    if (found < text.size()) out += ' ';
    at = found + kVisibleSpace.size();
  }
  return out;
}

bool HoldsSpaceAfterOther(std::string_view bytes) {
  for (size_t i = 1; i < bytes.size(); ++i) {
    if (bytes[i] == ' ' && bytes[i - 1] != ' ') return true;
  }
  return false;
}

class SentencePieceEncoder final : public SegmentEncoder {
 public:
  SentencePieceEncoder(const Vocabulary& vocabulary, OrdinaryPieces ordinary)
      : vocabulary_(vocabulary), merges_(std::move(ordinary.merges)) {
    for (const auto& [bytes, id] : ordinary.ids) {
      const CodePoint c = DecodeUtf8(bytes, 0);
      if (IsCodePoint(c.value) && c.length == bytes.size()) character_ids_.emplace(c.value, id);
    }
    byte_ids_.fill(kNoToken);
    for (size_t i = 0; i < vocabulary.pieces.size(); ++i) {
      const Piece& piece = vocabulary.pieces[i];
      if (piece.type == PieceType::kByte && piece.bytes.size() == 1) {
        byte_ids_[static_cast<unsigned char>(piece.bytes[0])] = static_cast<TokenId>(i);
      }
      if (HoldsSpaceAfterOther(piece.bytes)) merges_cross_spaces_ = true;
    }
  }

  Status Encode(std::string_view text, bool prefix, std::vector<TokenId>& ids) const override {
    std::string collapsed;
    if (vocabulary_.trim_spaces) {
      collapsed = CollapseSpaces(text);
      text = collapsed;
    }
    std::string shown = ShowSpaces(text);
    if (prefix && !(vocabulary_.prefix_unless_space && shown.starts_with(' '))) {
      shown.insert(shown.begin(), ' ');
    }
    // Last, as SentencePiece does it: U+2581 at the end goes too, and a prefix without a text.
    if (vocabulary_.trim_spaces) shown.resize(shown.find_last_not_of(' ') + 1);
    BpeWork work;
    bool after_unknown = false;
    for (size_t at = 0; at < shown.size();) {
      const size_t length = WordLength(std::string_view(shown).substr(at));
      EncodeWord(std::string_view(shown).substr(at, length), work, after_unknown, ids);
      at += length;
    }
    return Status();
  }

 private:
  // How much of `text` can be merged apart from the rest. Small words stay in the caches: without
  // this cut the heap spans the whole document.
  size_t WordLength(std::string_view text) const {
    if (merges_cross_spaces_ && !vocabulary_.split_at_spaces) return text.size();
    for (size_t i = 1; i < text.size(); ++i) {
      if (text[i] == ' ' && (vocabulary_.split_at_spaces || text[i - 1] != ' ')) return i;
    }
    return text.size();
  }

  void EncodeWord(std::string_view word, BpeWork& work, bool& after_unknown,
                  std::vector<TokenId>& ids) const {
    work.Clear();
    for (size_t at = 0; at < word.size();) {
      const CodePoint c = DecodeUtf8(word, at);
      const auto found = IsCodePoint(c.value) ? character_ids_.find(c.value) : character_ids_.end();
      work.Push(found == character_ids_.end() ? kNoToken : found->second, c.length);
      at += c.length;
    }
    work.Merge(merges_);
    size_t at = 0;
    for (const Symbol& symbol : work.symbols()) {
      if (symbol.length == 0) continue;
      if (symbol.id >= 0 && static_cast<size_t>(symbol.id) < vocabulary_.pieces.size()) {
        ids.push_back(symbol.id);
        after_unknown = false;
      } else {
        AppendBytes(word.substr(at, symbol.length), after_unknown, ids);
      }
      at += symbol.length;
    }
  }

  // A run of text without pieces is one unknown token.
  void AppendBytes(std::string_view bytes, bool& after_unknown, std::vector<TokenId>& ids) const {
    const auto id_of = [&](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
    if (std::all_of(bytes.begin(), bytes.end(), [&](char b) { return id_of(b) != kNoToken; })) {
      for (const char byte : bytes) ids.push_back(id_of(byte));
      after_unknown = false;
    } else {
      if (!after_unknown && vocabulary_.unk != kNoToken) ids.push_back(vocabulary_.unk);
      after_unknown = true;
    }
  }

  const Vocabulary& vocabulary_;
  MergeTable merges_;
  std::unordered_map<char32_t, TokenId> character_ids_;
  std::array<TokenId, 256> byte_ids_;
  bool merges_cross_spaces_ = false;
};

}  // namespace

Result<std::unique_ptr<SegmentEncoder>> MakeSentencePieceEncoder(const Vocabulary& vocabulary) {
  MNW_ASSIGN(OrdinaryPieces ordinary, IndexOrdinaryPieces(vocabulary));
  return std::unique_ptr<SegmentEncoder>(
      std::make_unique<SentencePieceEncoder>(vocabulary, std::move(ordinary)));
}

}  // namespace minnow::text
