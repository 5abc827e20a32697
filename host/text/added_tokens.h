// Finds control and user-defined tokens in text, before anything else is done to it.
//
// Control tokens are found only where a template wrote every byte of them; user-defined tokens are
// found everywhere. The longest token at the leftmost place wins.
// Threads: immutable.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace minnow::text {

class AddedTokens {
 public:
  // Views into `pieces`, which must stay where they are.
  explicit AddedTokens(const std::vector<Piece>& pieces);

  struct Match {
    TokenId id;
    size_t length;
    bool user_defined;
  };
  // The longest token at text[at]. Template text lies from `at` up to `template_end`, which is `at`
  // where a document's byte stands.
  std::optional<Match> Find(std::string_view text, size_t at, size_t template_end) const;

 private:
  struct Token {
    std::string_view bytes;
    TokenId id;
    bool user_defined;
  };
  struct Range {
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  std::vector<Token> tokens_;  // sorted by bytes
  std::array<Range, 256> by_first_byte_ = {};
};

}  // namespace minnow::text
