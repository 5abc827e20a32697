// A vocabulary as a tree of bytes: which tokens a state allows is found in one walk.
//
// Control, unknown and unused pieces are no part of it: an answer's text cannot hold them. Tokens
// of the same bytes are one entry; Spread gives the others their bits. Threads: immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "constrain/terms.h"
#include "text/vocabulary.h"

namespace minnow::constrain {

using text::TokenId;

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
  // Without the wide tokens.
  std::span<const Node> narrow_nodes() const { return narrow_; }
  // Wide tokens are whole characters, none of them a quotation mark, backslash or control
  // character. Adds those of at most so many characters.
  void AddWide(uint32_t characters, MaskWords* mask) const;

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
  std::vector<uint32_t> CountBackwards(std::string_view bytes) const;
  template <class F>
  void ForEachToken(std::string_view bytes, size_t at, F f) const;

  std::vector<std::string_view> bytes_;  // by id, into the vocabulary
  std::vector<Node> nodes_, narrow_;
  std::array<uint32_t, 256> roots_ = {};  // of nodes_, by first byte
  // Of a node's children, in order of their bytes.
  std::vector<uint32_t> kids_begin_, kids_;
  std::string kid_bytes_;
  std::vector<MaskWords> wide_;                          // by characters, as far as it goes
  std::vector<std::pair<uint32_t, TokenId>> long_wide_;  // of more characters
  std::vector<Twin> twins_;
  uint32_t longest_ = 0;
};

}  // namespace minnow::constrain
