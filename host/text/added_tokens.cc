#include "text/added_tokens.h"

#include <algorithm>
#include <tuple>

namespace minnow::text {

AddedTokens::AddedTokens(const std::vector<Piece>& pieces) {
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Piece& piece = pieces[i];
    const bool user_defined = piece.type == PieceType::kUserDefined;
    const bool control = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown;
    if (piece.bytes.empty() || !(user_defined || control)) continue;
    tokens_.push_back({piece.bytes, static_cast<TokenId>(i), user_defined});
  }
  std::sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) {
    return std::tie(a.bytes, a.id) < std::tie(b.bytes, b.id);
  });
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Range& range = by_first_byte_[static_cast<unsigned char>(tokens_[i].bytes[0])];
    if (range.end == 0) range.begin = i;
    range.end = i + 1;
  }
}

std::optional<AddedTokens::Match> AddedTokens::Find(std::string_view text, size_t at,
                                                    size_t template_end) const {
  const Range first = by_first_byte_[static_cast<unsigned char>(text[at])];
  auto begin = tokens_.begin() + first.begin;
  auto end = tokens_.begin() + first.end;
  std::optional<Match> best;
  // All of [begin, end) agree with the text up to `length`; the shortest of them come first.
  for (size_t length = 1; begin != end; ++length) {
    for (; begin != end && begin->bytes.size() == length; ++begin) {
      const bool allowed = begin->user_defined || at + length <= template_end;
      if (allowed && !(best && best->length == length)) {
        best = Match{begin->id, length, begin->user_defined};
      }
    }
    if (begin == end || at + length >= text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at + length]);
    const auto below = [&](const Token& token) {
      return static_cast<unsigned char>(token.bytes[length]) < byte;
    };
    const auto not_above = [&](const Token& token) {
      return static_cast<unsigned char>(token.bytes[length]) <= byte;
    };
    begin = std::partition_point(begin, end, below);
    end = std::partition_point(begin, end, not_above);
  }
  return best;
}

}  // namespace minnow::text
