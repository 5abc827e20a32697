// Drafts by looking back: what came after these tokens the last time they were there, in the prompt
// or in the answer. Extraction, corrections and answers about a document repeat much of what they
// were given. Threads: the executor's.
#pragma once

#include <vector>

#include "engine/draft.h"

namespace minnow::engine {

class NgramDraft final : public DraftSource {
 public:
  // The continuation of the longest repetition found; and where the same tokens once went on
  // differently, that as a second branch. Takes constant time per token and node.
  std::vector<DraftNode> Propose(std::span<const TokenId> tokens, size_t most) override;

 private:
  static constexpr uint32_t kLevels = 3;

  // Where the last 2, 4 or 8 tokens stood before. A place in the table holds the last position that
  // hashed to it, and `before` what it held when that came: a chain back, that strangers with the
  // same hash may stand in. 0: none, since nothing is repeated there.
  struct Level {
    std::vector<uint32_t> table, before;
  };

  void Index(std::span<const TokenId> tokens);
  uint32_t& Place(Level& level, std::span<const TokenId> end, size_t n) const;
  void Branch(std::span<const TokenId> tokens, uint32_t from, DraftKind first, DraftKind kind,
              size_t most, std::vector<DraftNode>* nodes) const;

  Level levels_[kLevels];
  size_t indexed_ = 0;  // positions up to here are in the tables
};

}  // namespace minnow::engine
