#include "constrain/token_trie.h"

#include <algorithm>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr size_t kShortSteps = 32;  // tokens of more characters are few, and asked one by one
constexpr size_t kLongerSteps = 32;

bool IsLineEnd(std::string_view bytes) {
  return bytes.starts_with("\xE2\x80\xA8") || bytes.starts_with("\xE2\x80\xA9");
}

// The characters of a token, the last perhaps only begun; 0 where there is anything else.
uint32_t WholeCharacters(std::string_view bytes) {
  uint32_t n = 0;
  for (size_t i = 0; i < bytes.size(); ++n) {
    const auto lead = static_cast<uint8_t>(bytes[i]);
    if (lead == 0 || lead == 0x7F) return 0;
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0) return 0;
    const size_t there = std::min(length, bytes.size() - i);
    for (size_t k = 1; k < there; ++k) {
      if ((static_cast<uint8_t>(bytes[i + k]) & 0xC0) != 0x80) return 0;
    }
    // Overlong forms, surrogates and what lies above U+10FFFF.
    const auto second = static_cast<uint8_t>(there > 1 ? bytes[i + 1] : 0);
    if (there > 1 && ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                      (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)))
      return 0;
    if (there == 3 && IsLineEnd(bytes.substr(i))) return 0;
    i += there;
  }
  return n;
}

void Set(MaskWords* mask, size_t id) { (*mask)[id / 32] |= uint32_t{1} << id % 32; }

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

  std::erase_if(sorted, [quoted = Quoted()](const auto& entry) {
    for (size_t i = 0; i < entry.first.size(); ++i) {
      if (quoted.Has(static_cast<uint8_t>(entry.first[i])) || IsLineEnd(entry.first.substr(i)))
        return false;
    }
    return true;
  });
  quoted_ = Build(sorted);
  NoteNodes();
  NoteTokens();
}

ByteSet TokenTrie::Quoted() {
  ByteSet set;
  for (uint8_t byte : {uint8_t{'"'}, uint8_t{'\\'}, uint8_t{0}, uint8_t{0x7F}}) set.Add(byte);
  return set;
}

void TokenTrie::NoteNodes() {
  letters_.resize(nodes_.size());
  deepest_.resize(nodes_.size());
  rank_.resize(nodes_.size() + 1);
  for (size_t i = 0; i < nodes_.size(); ++i) {
    rank_[i] = static_cast<uint32_t>(order_.size());
    if (nodes_[i].token != text::kNoToken) order_.push_back(nodes_[i].token);
  }
  rank_.back() = static_cast<uint32_t>(order_.size());
  for (size_t i = nodes_.size(); i-- > 0;) {  // what is below comes later
    const Node& node = nodes_[i];
    letters_[i].Add(Letters::Of(node.byte));
    if (node.token != text::kNoToken) {
      deepest_[i] = node.depth;
      if (WholeCharacters(Bytes(node.token)) == 0) letters_[i].Add(Letters::kBroken);
    }
    for (uint32_t kid = static_cast<uint32_t>(i) + 1; kid < node.skip; kid = nodes_[kid].skip) {
      letters_[i] |= letters_[kid];
      deepest_[i] = std::max(deepest_[i], deepest_[kid]);
    }
  }
}

void TokenTrie::NoteTokens() {
  all_.assign(n_words(), 0);
  short_.assign(kShortSteps + 1, all_);
  longer_.assign(kLongerSteps, all_);
  for (TokenId token : order_) Set(&all_, static_cast<size_t>(token));
  for (size_t id = 0; id < bytes_.size(); ++id) {
    const std::string_view bytes = bytes_[id];
    if (bytes.empty()) continue;
    for (size_t n = 0; n < std::min(bytes.size(), kLongerSteps); ++n) Set(&longer_[n], id);
    const uint32_t characters = WholeCharacters(bytes);
    Letters letters;
    for (char c : bytes) letters.Add(Letters::Of(static_cast<uint8_t>(c)));
    if (characters == 0) letters.Add(Letters::kBroken);
    for (uint8_t letter = 0; letter < 128; ++letter) {
      if (!letters.Has(letter)) continue;
      for (MaskWords* mask : {&having_[letter], &having_any_[letter / 16]}) {
        if (mask->empty()) mask->assign(n_words(), 0);
        Set(mask, id);
      }
    }
    if (characters > kShortSteps) long_.emplace_back(characters, static_cast<TokenId>(id));
    for (size_t n = characters; n > 0 && n <= kShortSteps; ++n) Set(&short_[n], id);
  }
}

MaskWords TokenTrie::TokensOf(Letters letters) const {
  MaskWords out = all_;
  const auto remove = [&](const MaskWords& mask) {
    for (size_t w = 0; w < mask.size(); ++w) out[w] &= ~mask[w];
  };
  for (uint8_t first = 0; first < 128; first = static_cast<uint8_t>(first + 16)) {
    bool any = false;
    for (uint8_t i = 0; i < 16; ++i) any |= letters.Has(static_cast<uint8_t>(first + i));
    if (!any) {
      remove(having_any_[first / 16]);
      continue;
    }
    for (uint8_t i = 0; i < 16; ++i) {
      if (!letters.Has(static_cast<uint8_t>(first + i))) remove(having_[first + i]);
    }
  }
  return out;
}

void TokenTrie::KeepShort(uint32_t characters, MaskWords* mask) const {
  MaskWords out = short_[std::min<size_t>(characters, kShortSteps)];
  for (size_t w = 0; w < out.size(); ++w) out[w] &= (*mask)[w];
  for (const auto& [n, token] : long_) {
    const auto id = static_cast<size_t>(token);
    if (n <= characters && ((*mask)[id / 32] >> id % 32 & 1)) Set(&out, id);
  }
  *mask = std::move(out);
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
