#include "engine/ngram_draft.h"

#include <algorithm>
#include <bit>

#include "engine/noise.h"

namespace minnow::engine {

namespace {

constexpr size_t kLengths[] = {2, 4, 8};
constexpr size_t kLongest = 16;  // repetitions are measured no further
constexpr int kBack = 8;         // places looked at for a second branch

// How many tokens before `a` and before `b` are the same.
size_t Repeated(std::span<const TokenId> tokens, size_t a, size_t b) {
  size_t n = 0;
  while (n < kLongest && n < std::min(a, b) && tokens[a - 1 - n] == tokens[b - 1 - n]) ++n;
  return n;
}

DraftKind KindOf(size_t repeated) {
  if (repeated >= 16) return DraftKind::kSixteen;
  if (repeated >= 8) return DraftKind::kEight;
  return repeated >= 4 ? DraftKind::kFour : DraftKind::kTwo;
}

}  // namespace

// The place of the n tokens before the end of `end`.
uint32_t& NgramDraft::Place(Level& level, std::span<const TokenId> end, size_t n) const {
  uint64_t hash = 0;
  for (const TokenId token : end.last(n)) hash = Mix(hash ^ static_cast<uint32_t>(token));
  return level.table[hash & (level.table.size() - 1)];
}

void NgramDraft::Index(std::span<const TokenId> tokens) {
  const bool grow = levels_[0].table.size() < 2 * tokens.size();
  if (grow) indexed_ = 0;
  for (size_t l = 0; l < kLevels; ++l) {
    Level& level = levels_[l];
    if (grow) level.table.assign(std::bit_ceil(4 * tokens.size()), 0);
    level.before.resize(tokens.size(), 0);
    for (size_t p = std::max(indexed_, kLengths[l]); p < tokens.size(); ++p) {
      uint32_t& place = Place(level, tokens.first(p), kLengths[l]);
      level.before[p] = place;
      place = static_cast<uint32_t>(p);
    }
  }
  indexed_ = tokens.size();
}

// A chain of what stands from `from` on. Where it comes to the end of the tokens it goes on with
// itself, as a loop would.
void NgramDraft::Branch(std::span<const TokenId> tokens, uint32_t from, DraftKind first,
                        DraftKind kind, size_t most, std::vector<DraftNode>* nodes) const {
  const size_t begin = nodes->size();
  for (size_t i = 0; i < most; ++i) {
    const size_t at = from + i;
    const TokenId token =
        at < tokens.size() ? tokens[at] : (*nodes)[begin + at - tokens.size()].token;
    const int32_t parent = i == 0 ? -1 : static_cast<int32_t>(nodes->size()) - 1;
    nodes->push_back({parent, token, i == 0 ? first : kind});
  }
}

std::vector<DraftNode> NgramDraft::Propose(std::span<const TokenId> tokens, size_t most) {
  Index(tokens);
  std::vector<DraftNode> nodes;
  for (size_t l = kLevels; l-- > 0 && nodes.empty();) {
    if (tokens.size() <= kLengths[l]) continue;
    Level& level = levels_[l];
    uint32_t first = 0, second = 0;
    DraftKind kind{}, kind_of_second{};
    uint32_t at = Place(level, tokens, kLengths[l]);
    for (int back = 0; at > 0 && back < kBack; ++back, at = level.before[at]) {
      const size_t repeated = Repeated(tokens, at, tokens.size());
      if (repeated < kLengths[l] || (first > 0 && tokens[at] == tokens[first])) continue;
      (first > 0 ? second : first) = at;
      (first == at ? kind : kind_of_second) = KindOf(repeated);
      if (second > 0) break;
    }
    if (first == 0) continue;
    const size_t aside = second > 0 ? most / 4 : 0;
    Branch(tokens, first, kind, kind, most - aside, &nodes);
    Branch(tokens, second, DraftKind::kSecond, kind_of_second, aside, &nodes);
  }
  return nodes;
}

}  // namespace minnow::engine
