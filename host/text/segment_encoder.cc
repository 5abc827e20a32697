#include "text/segment_encoder.h"

#include <algorithm>
#include <numeric>

#include "text/utf8.h"

namespace minnow::text {
namespace {

bool IsOrdinary(const Piece& piece) {
  return (piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined) &&
         !piece.bytes.empty();
}

// Rank of each piece by descending score; equal scores share a rank.
std::vector<uint32_t> RanksByScore(const std::vector<Piece>& pieces) {
  std::vector<uint32_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return pieces[a].score > pieces[b].score; });
  std::vector<uint32_t> ranks(pieces.size());
  uint32_t rank = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && pieces[order[i]].score != pieces[order[i - 1]].score) ++rank;
    ranks[order[i]] = rank;
  }
  return ranks;
}

void MergesByScore(const Vocabulary& v, OrdinaryPieces& ordinary) {
  const std::vector<uint32_t> ranks = RanksByScore(v.pieces);
  TokenId next_id = static_cast<TokenId>(v.pieces.size());
  const auto unit_length = [&](std::string_view bytes, size_t at) {
    return v.kind == TokenizerKind::kByteLevel ? 1 : DecodeUtf8(bytes, at).length;
  };
  for (const Piece& piece : v.pieces) {
    if (!IsOrdinary(piece)) continue;
    const std::string_view bytes = piece.bytes;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = unit_length(bytes, at);
      if (ordinary.ids.emplace(bytes.substr(at, length), next_id).second) ++next_id;
      at += length;
    }
  }
  for (size_t i = 0; i < v.pieces.size(); ++i) {
    const std::string_view bytes = v.pieces[i].bytes;
    if (!IsOrdinary(v.pieces[i]) || ordinary.ids.at(bytes) != static_cast<TokenId>(i)) continue;
    for (size_t at = unit_length(bytes, 0); at < bytes.size(); at += unit_length(bytes, at)) {
      const auto left = ordinary.ids.find(bytes.substr(0, at));
      if (left == ordinary.ids.end()) continue;
      const auto right = ordinary.ids.find(bytes.substr(at));
      if (right == ordinary.ids.end()) continue;
      ordinary.merges.Add(left->second, right->second, {ranks[i], static_cast<TokenId>(i)});
    }
  }
}

}  // namespace

Result<OrdinaryPieces> IndexOrdinaryPieces(const Vocabulary& v) {
  OrdinaryPieces ordinary;
  ordinary.ids.reserve(v.pieces.size());
  for (size_t i = 0; i < v.pieces.size(); ++i) {
    if (IsOrdinary(v.pieces[i])) ordinary.ids.emplace(v.pieces[i].bytes, static_cast<TokenId>(i));
  }
  if (v.merges.empty()) {
    MergesByScore(v, ordinary);
    return ordinary;
  }
  ordinary.merges.Reserve(v.merges.size());
  for (size_t rank = 0; rank < v.merges.size(); ++rank) {
    const Merge& m = v.merges[rank];
    // A merge into the control channel would let a document spell a control token.
    if (!IsOrdinary(v.pieces[m.left]) || !IsOrdinary(v.pieces[m.right]) ||
        !IsOrdinary(v.pieces[m.result])) {
      continue;
    }
    ordinary.merges.Add(m.left, m.right, {static_cast<uint32_t>(rank), m.result});
  }
  return ordinary;
}

}  // namespace minnow::text
