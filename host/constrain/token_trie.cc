#include "constrain/token_trie.h"

#include <algorithm>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr size_t kWideSteps = 32;  // longer wide tokens are few, and asked one by one

// The characters of a wide token; 0 if it is none.
uint32_t WideCharacters(std::string_view bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < bytes.size(); ++n) {
    const auto lead = static_cast<uint8_t>(bytes[i]);
    if (lead < 0x20 || lead == '"' || lead == '\\' || lead == 0x7F) return 0;
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || i + length > bytes.size()) return 0;
    const auto second = static_cast<uint8_t>(length > 1 ? bytes[i + 1] : 0x80);
    for (size_t k = 1; k < length; ++k) {
      if ((static_cast<uint8_t>(bytes[i + k]) & 0xC0) != 0x80) return 0;
    }
    // Overlong forms, surrogates and what lies above U+10FFFF.
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F))
      return 0;
    i += length;
  }
  return n;
}

}  // namespace

std::vector<TokenTrie::Node> TokenTrie::Build(
    std::span<const std::pair<std::string_view, TokenId>> sorted) {
  std::vector<Node> nodes;
  std::vector<uint32_t> path;  // the nodes above
  std::string_view last;
  const auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes[path.back()].skip = static_cast<uint32_t>(nodes.size());
  };
  for (const auto& [bytes, token] : sorted) {
    const size_t most = std::min(last.size(), bytes.size());
    size_t common = 0;
    while (common < most && last[common] == bytes[common]) ++common;
    close(common);
    for (size_t i = common; i < bytes.size(); ++i) {
      path.push_back(static_cast<uint32_t>(nodes.size()));
      nodes.push_back(
          {0, text::kNoToken, static_cast<uint8_t>(bytes[i]), static_cast<uint8_t>(i + 1)});
    }
    nodes.back().token = token;
    last = bytes;
  }
  close(0);
  return nodes;
}

TokenTrie::TokenTrie(const text::Vocabulary& vocabulary) {
  bytes_.resize(vocabulary.pieces.size());
  std::vector<std::pair<std::string_view, TokenId>> sorted;
  for (size_t i = 0; i < vocabulary.pieces.size(); ++i) {
    const text::Piece& piece = vocabulary.pieces[i];
    const bool is_text = piece.type == text::PieceType::kNormal ||
                         piece.type == text::PieceType::kUserDefined ||
                         piece.type == text::PieceType::kByte;
    if (!is_text || piece.bytes.empty() || piece.bytes.size() > kLongest) continue;
    if (std::binary_search(vocabulary.end_tokens.begin(), vocabulary.end_tokens.end(),
                           static_cast<TokenId>(i)))
      continue;
    bytes_[i] = piece.bytes;
    longest_ = std::max(longest_, static_cast<uint32_t>(piece.bytes.size()));
    sorted.emplace_back(piece.bytes, static_cast<TokenId>(i));
  }
  std::sort(sorted.begin(), sorted.end());
  size_t kept = 0;
  for (const auto& entry : sorted) {
    if (kept > 0 && sorted[kept - 1].first == entry.first) {
      twins_.push_back({sorted[kept - 1].second, entry.second});
    } else {
      sorted[kept++] = entry;
    }
  }
  sorted.resize(kept);
  nodes_ = Build(sorted);
  roots_.fill(kNoNode);
  for (uint32_t i = 0; i < nodes_.size(); i = nodes_[i].skip) roots_[nodes_[i].byte] = i;
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    kids_begin_.push_back(static_cast<uint32_t>(kids_.size()));
    for (uint32_t kid = i + 1; kid < nodes_[i].skip; kid = nodes_[kid].skip) {
      kids_.push_back(kid);
      kid_bytes_ += static_cast<char>(nodes_[kid].byte);
    }
  }
  kids_begin_.push_back(static_cast<uint32_t>(kids_.size()));

  wide_.assign(kWideSteps + 1, MaskWords(n_words()));
  std::erase_if(sorted, [&](const auto& entry) {
    const uint32_t n = WideCharacters(entry.first);
    const auto id = static_cast<size_t>(entry.second);
    if (n > kWideSteps) long_wide_.emplace_back(n, entry.second);
    for (size_t i = n; n > 0 && i <= kWideSteps; ++i) wide_[i][id / 32] |= uint32_t{1} << id % 32;
    return n > 0;
  });
  narrow_ = Build(sorted);
  for (MaskWords& mask : wide_) Spread(&mask);
}

void TokenTrie::AddWide(uint32_t characters, MaskWords* mask) const {
  const MaskWords& wide = wide_[std::min<size_t>(characters, kWideSteps)];
  for (size_t i = 0; i < wide.size(); ++i) (*mask)[i] |= wide[i];
  if (characters <= kWideSteps) return;
  for (const auto& [n, token] : long_wide_) {
    const auto id = static_cast<size_t>(token);
    if (n <= characters) (*mask)[id / 32] |= uint32_t{1} << id % 32;
  }
}

void TokenTrie::Spread(MaskWords* mask) const {
  for (const Twin& t : twins_) {
    const auto from = static_cast<size_t>(t.token), to = static_cast<size_t>(t.twin);
    if ((*mask)[from / 32] >> from % 32 & 1) (*mask)[to / 32] |= uint32_t{1} << to % 32;
  }
}

uint32_t TokenTrie::Child(uint32_t node, uint8_t byte) const {
  if (node == kNoNode) return roots_[byte];
  const auto* first = reinterpret_cast<const uint8_t*>(kid_bytes_.data()) + kids_begin_[node];
  const auto* last = reinterpret_cast<const uint8_t*>(kid_bytes_.data()) + kids_begin_[node + 1];
  const auto* found = std::lower_bound(first, last, byte);
  if (found == last || *found != byte) return kNoNode;
  return kids_[kids_begin_[node] + static_cast<size_t>(found - first)];
}

// Calls f(token, length) for each token that bytes[at...] begins with.
template <class F>
void TokenTrie::ForEachToken(std::string_view bytes, size_t at, F f) const {
  uint32_t node = kNoNode;
  for (size_t i = at; i < bytes.size(); ++i) {
    node = Child(node, static_cast<uint8_t>(bytes[i]));
    if (node == kNoNode) return;
    if (nodes_[node].token != text::kNoToken) f(nodes_[node].token, i + 1 - at);
  }
}

// For each place, how many tokens the rest takes at least.
std::vector<uint32_t> TokenTrie::CountBackwards(std::string_view bytes) const {
  std::vector<uint32_t> count(bytes.size() + 1, kUnbounded);
  count.back() = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    ForEachToken(bytes, i, [&](TokenId, size_t length) {
      if (count[i + length] != kUnbounded) count[i] = std::min(count[i], count[i + length] + 1);
    });
  }
  return count;
}

uint32_t TokenTrie::CountTokens(std::string_view bytes) const { return CountBackwards(bytes)[0]; }

std::vector<TokenId> TokenTrie::Spell(std::string_view bytes) const {
  const std::vector<uint32_t> count = CountBackwards(bytes);
  std::vector<TokenId> out;
  for (size_t i = 0; i < bytes.size() && count[i] != kUnbounded;) {
    TokenId token = text::kNoToken;
    size_t length = 0;
    ForEachToken(bytes, i, [&](TokenId t, size_t n) {  // the longest of them, which comes last
      if (count[i + n] != kUnbounded && count[i + n] + 1 == count[i]) {
        token = t;
        length = n;
      }
    });
    out.push_back(token);
    i += length;
  }
  return out;
}

}  // namespace minnow::constrain
