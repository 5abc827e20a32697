// A vocabulary as a tree of bytes: which tokens a state allows is found in one walk.
//
// Control, unknown and unused pieces are no part of it: an answer's text cannot hold them. Tokens
// of the same bytes are one entry; Spread gives the others their bits. Threads: immutable.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "constrain/terms.h"
#include "text/vocabulary.h"

namespace minnow::constrain {

using text::TokenId;

// Which characters there are: each of ASCII by itself, but for NUL and DEL, and whether any other.
// The ends of lines of Unicode, which a dot in a pattern leaves out, count as broken: there is next
// to no token of them.
struct Letters {
  static constexpr uint8_t kBroken = 0;    // bytes that are no UTF-8, NUL, DEL, U+2028, U+2029
  static constexpr uint8_t kBeyond = 127;  // characters beyond ASCII
  std::array<uint64_t, 2> words = {};

  static uint8_t Of(uint8_t byte) { return byte >= 0x80 ? kBeyond : byte == 0x7F ? kBroken : byte; }
  void Add(uint8_t letter) { words[letter >> 6] |= uint64_t{1} << (letter & 63); }
  bool Has(uint8_t letter) const { return words[letter >> 6] >> (letter & 63) & 1; }
  void operator|=(const Letters& o) {
    words[0] |= o.words[0];
    words[1] |= o.words[1];
  }
  bool Within(const Letters& o) const {
    return ((words[0] & ~o.words[0]) | (words[1] & ~o.words[1])) == 0;
  }
  bool Meets(const Letters& o) const {
    return ((words[0] & o.words[0]) | (words[1] & o.words[1])) != 0;
  }
};

// One bit for each token, in words of 32, as mnw_sample_row wants it.
using MaskWords = std::vector<uint32_t>;

class TokenTrie final : public TokenCounter {
 public:
  explicit TokenTrie(const text::Vocabulary& vocabulary);

  // In depth-first order; the children of a node come right after it, `skip` is the first node
  // that is not below it.
  struct Node {
    uint32_t skip;
    TokenId token;  // that ends here, or kNoToken
    uint8_t byte;
    uint8_t depth;  // 1: a token's first byte
  };
  static constexpr size_t kLongest = 255;  // longer tokens are left out

  std::span<const Node> nodes() const { return nodes_; }
  // The child of a node, or of the root, kNoNode.
  static constexpr uint32_t kNoNode = ~uint32_t{0};
  uint32_t Child(uint32_t node, uint8_t byte) const;
  std::span<const Node> Below(uint32_t node) const {
    return node == kNoNode ? std::span(nodes_)
                           : std::span(nodes_).subspan(node + 1, nodes_[node].skip - node - 1);
  }
  // Those of the tokens that have one of these bytes, or are broken by the ends of lines: a
  // quotation mark, a backslash, NUL and DEL, the ways out of text in JSON. As nodes() otherwise.
  static ByteSet Quoted();
  std::span<const Node> quoted_nodes() const { return quoted_; }

  // The characters in the tokens of a node and of those below it, from its own byte on.
  Letters letters(uint32_t node) const { return letters_[node]; }
  std::span<const TokenId> Tokens(uint32_t node) const {  // at it and below it
    return std::span(order_).subspan(rank_[node], rank_[nodes_[node].skip] - rank_[node]);
  }
  uint32_t deepest(uint32_t node) const { return deepest_[node]; }  // of its tokens

  // Tokens of whole characters, the last of them perhaps only begun, all of them `letters`.
  MaskWords TokensOf(Letters letters) const;
  // Leaves those of such a mask that have at most so many characters.
  void KeepShort(uint32_t characters, MaskWords* mask) const;
  // Calls f(token) for each token of the mask that has more than so many bytes.
  template <class F>
  void ForEachLonger(const MaskWords& mask, uint32_t bytes, F f) const {
    const MaskWords& longer = longer_[std::min<size_t>(bytes, longer_.size() - 1)];
    for (size_t w = 0; w < mask.size(); ++w) {
      for (uint32_t bits = mask[w] & longer[w]; bits != 0; bits &= bits - 1) {
        const auto token =
            static_cast<TokenId>(w * 32 + static_cast<size_t>(std::countr_zero(bits)));
        if (Bytes(token).size() > bytes) f(token);
      }
    }
  }

  size_t n_tokens() const { return bytes_.size(); }
  size_t n_words() const { return (bytes_.size() + 31) / 32; }
  uint32_t longest() const { return longest_; }  // in bytes
  // Empty for tokens that are no part of it.
  std::string_view Bytes(TokenId token) const { return bytes_[static_cast<size_t>(token)]; }
  // Tokens of the same bytes as an allowed one are allowed.
  void Spread(MaskWords* mask) const;

  // The fewest that spell it; kUnbounded if none do.
  uint32_t CountTokens(std::string_view bytes) const override;
  // These tokens. REQUIRES: CountTokens is not kUnbounded.
  std::vector<TokenId> Spell(std::string_view bytes) const;

 private:
  struct Twin {
    TokenId token, twin;
  };
  static std::vector<Node> Build(std::span<const std::pair<std::string_view, TokenId>> sorted);
  void NoteNodes();
  void NoteTokens();
  std::vector<uint32_t> CountBackwards(std::string_view bytes) const;
  template <class F>
  void ForEachToken(std::string_view bytes, size_t at, F f) const;

  std::vector<std::string_view> bytes_;  // by id, into the vocabulary
  std::vector<Node> nodes_, quoted_;
  std::array<uint32_t, 256> roots_ = {};  // of nodes_, by first byte
  // Of a node's children, in order of their bytes.
  std::vector<uint32_t> kids_begin_, kids_;
  std::string kid_bytes_;
  std::vector<Letters> letters_;  // by node
  std::vector<uint8_t> deepest_;
  std::vector<uint32_t> rank_;  // how many tokens come before the node
  std::vector<TokenId> order_;  // of the nodes
  MaskWords all_;
  std::array<MaskWords, 128> having_;               // by letter; empty: none has it
  std::array<MaskWords, 8> having_any_;             // of 16 letters
  std::vector<MaskWords> short_;                    // by characters, as far as it goes
  std::vector<std::pair<uint32_t, TokenId>> long_;  // of more characters
  std::vector<MaskWords> longer_;                   // by bytes
  std::vector<Twin> twins_;
  uint32_t longest_ = 0;
};

}  // namespace minnow::constrain
