#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string_view>

namespace minnow::text {
namespace {

// Bounds work that grows with the square of a piece's length (merges from scores) or with its
// product with the text's (added tokens). The longest of published vocabularies has 512 bytes.
constexpr size_t kMaxPieceBytes = 1024;

// End-of-turn and end-of-text tokens by the names that published models give them.
constexpr std::array<std::string_view, 20> kEndNames = {
    "</s>",
    "<eos>",
    "<|eos|>",
    "<EOT>",
    "<|EOT|>",
    "<|end|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|endofturn|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|return|>",
    "<|call|>",
    "<｜end▁of▁sentence｜>",
    "<|user_end|>",
    "<|END_OF_TURN_TOKEN|>",
};

// Tokens that open a turn or name a role.
constexpr std::array<std::string_view, 11> kTurnNames = {
    "<s>",
    "<bos>",
    "<|begin_of_text|>",
    "<|im_start|>",
    "<|user|>",
    "<|assistant|>",
    "<|start_header_id|>",
    "<start_of_turn>",
    "<|system|>",
    "<|end_header_id|>",
    "<｜begin▁of▁sentence｜>",
};

template <class Names>
bool Contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Status CheckIds(const Vocabulary& v) {
  const auto outside = [&](TokenId id) {
    return id < 0 || static_cast<size_t>(id) >= v.pieces.size();
  };
  for (const auto& [name, id] :
       {std::pair{"BOS", v.bos}, std::pair{"EOS", v.eos}, std::pair{"EOT", v.eot},
        std::pair{"unknown", v.unk}, std::pair{"padding", v.pad}}) {
    if (id != kNoToken && outside(id)) {
      return Error(Code::kCorrupt, "the {} token {} is outside the vocabulary of {} pieces", name,
                   id, v.pieces.size());
    }
  }
  for (const TokenId id : v.end_tokens) {
    if (outside(id)) return Error(Code::kCorrupt, "the end token {} is outside the vocabulary", id);
  }
  if (v.add_bos && v.bos == kNoToken) {
    return Error(Code::kCorrupt, "the tokenizer adds a BOS token but names none");
  }
  if (v.add_eos && v.eos == kNoToken) {
    return Error(Code::kCorrupt, "the tokenizer adds an EOS token but names none");
  }
  for (size_t rank = 0; rank < v.merges.size(); ++rank) {
    const Merge& m = v.merges[rank];
    if (outside(m.left) || outside(m.right) || outside(m.result)) {
      return Error(Code::kCorrupt, "merge {} names a piece outside the vocabulary", rank);
    }
  }
  return Status();
}

}  // namespace

Status CompleteVocabulary(Vocabulary& v) {
  if (v.pieces.empty()) return Error(Code::kCorrupt, "the vocabulary is empty");
  MNW_TRY(CheckIds(v));
  std::set<TokenId> end_tokens(v.end_tokens.begin(), v.end_tokens.end());
  // What documents can produce is no control token; a vocabulary that uses BOS or EOS as its
  // unknown token has none.
  if (v.unk == v.bos || v.unk == v.eos || v.unk == v.eot || v.kind == TokenizerKind::kByteLevel) {
    v.unk = kNoToken;
  } else if (v.unk != kNoToken) {
    v.pieces[v.unk].type = PieceType::kUnknown;
  }
  for (size_t i = 0; i < v.pieces.size(); ++i) {
    const TokenId id = static_cast<TokenId>(i);
    Piece& piece = v.pieces[i];
    if (piece.bytes.size() > kMaxPieceBytes) {
      return Error(Code::kUnsupported, "token {} is {} bytes long; {} is the limit", id,
                   piece.bytes.size(), kMaxPieceBytes);
    }
    if (std::isnan(piece.score)) {
      return Error(Code::kCorrupt, "the score of token {} is not a number", id);
    }
    const bool ends = Contains(kEndNames, piece.bytes) || end_tokens.contains(id);
    const bool used_as_control = id == v.bos || id == v.eos || id == v.eot;
    // Only what is declared as a token of its own: Qwen has an ordinary piece "</s>".
    const bool named_as_control =
        piece.type == PieceType::kUserDefined && (ends || Contains(kTurnNames, piece.bytes));
    if (used_as_control || named_as_control) piece.type = PieceType::kControl;
    if (id == v.eos || id == v.eot || (ends && piece.type == PieceType::kControl)) {
      end_tokens.insert(id);
    }
  }
  v.end_tokens.assign(end_tokens.begin(), end_tokens.end());
  return Status();
}

}  // namespace minnow::text
