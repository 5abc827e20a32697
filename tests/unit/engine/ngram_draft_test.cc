// Guesses by looking back.
#include "engine/ngram_draft.h"

#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <random>

using minnow::engine::DraftKind;
using minnow::engine::DraftNode;
using minnow::engine::NgramDraft;
using minnow::engine::TokenId;

namespace {

using Tokens = std::vector<TokenId>;

// The chain that begins at a node.
Tokens ChainFrom(const std::vector<DraftNode>& nodes, size_t first) {
  Tokens chain = {nodes[first].token};
  for (size_t i = first + 1; i < nodes.size(); ++i) {
    if (nodes[i].parent != static_cast<int32_t>(i) - 1) break;
    chain.push_back(nodes[i].token);
  }
  return chain;
}

Tokens Upto(TokenId n) {
  Tokens tokens;
  for (TokenId t = 0; t < n; ++t) tokens.push_back(t);
  return tokens;
}

// The best that looking through all of the text can find: where the longest end stood last.
size_t LongestRepetition(const Tokens& tokens) {
  size_t longest = 0;
  for (size_t p = 1; p < tokens.size(); ++p) {
    size_t n = 0;
    while (n < p && n < 16 && tokens[p - 1 - n] == tokens[tokens.size() - 1 - n]) ++n;
    longest = std::max(longest, n);
  }
  return longest;
}

}  // namespace

TEST_GROUP(NgramDraft) { NgramDraft draft; };

TEST(NgramDraft, WhatRepeatsGoesOnAsItDid) {
  Tokens tokens = Upto(40);
  tokens.insert(tokens.end(), {10, 11, 12, 13});
  const auto nodes = draft.Propose(tokens, 5);
  UNSIGNED_LONGS_EQUAL(5, nodes.size());
  CHECK((ChainFrom(nodes, 0) == Tokens{14, 15, 16, 17, 18}));
  LONGS_EQUAL(-1, nodes[0].parent);
  CHECK(nodes[0].kind == DraftKind::kFour);
}

TEST(NgramDraft, NothingIsGuessedWhereNothingRepeats) {
  CHECK(draft.Propose(Upto(100), 8).empty());
  CHECK(draft.Propose(Upto(101), 8).empty());
  CHECK(NgramDraft().Propose(Tokens{5}, 8).empty());
  CHECK(NgramDraft().Propose(Tokens{5, 5}, 8).empty());
  CHECK(NgramDraft().Propose(Tokens{7, 1, 2, 3, 7}, 8).empty());  // one token is not enough
}

TEST(NgramDraft, TheLongestRepetitionWins) {
  // 1 2 3 4 went on with 5; later 3 4 alone went on with 9.
  const Tokens tokens = {1, 2, 3, 4, 5, 6, 0, 3, 4, 9, 9, 9, 8, 1, 2, 3, 4};
  const auto nodes = draft.Propose(tokens, 2);
  CHECK((ChainFrom(nodes, 0) == Tokens{5, 6}));
}

TEST(NgramDraft, TheLastPlaceWinsAndTheOneBeforeIsASecondBranch) {
  const Tokens tokens = {1, 2, 50, 51, 0, 1, 2, 60, 61, 62, 63, 64, 65, 1, 2};
  const auto nodes = draft.Propose(tokens, 8);
  UNSIGNED_LONGS_EQUAL(8, nodes.size());
  CHECK((ChainFrom(nodes, 0) == Tokens{60, 61, 62, 63, 64, 65}));
  LONGS_EQUAL(-1, nodes[6].parent);
  CHECK(nodes[6].kind == DraftKind::kSecond);
  CHECK((ChainFrom(nodes, 6) == Tokens{50, 51}));
}

TEST(NgramDraft, ALoopGoesOn) {
  const Tokens tokens = {9, 1, 2, 3, 1, 2, 3, 1, 2, 3};
  CHECK((ChainFrom(draft.Propose(tokens, 7), 0) == Tokens{1, 2, 3, 1, 2, 3, 1}));
  CHECK((ChainFrom(NgramDraft().Propose(Tokens{4, 4, 4}, 3), 0) == Tokens{4, 4, 4}));
}

// Token by token as well as at once, and in texts of few words, where everything has been before.
TEST(NgramDraft, GrowsWithTheAnswer) {
  std::mt19937 rng(3);
  Tokens tokens;
  size_t found = 0, repeated = 0;
  for (int i = 0; i < 3000; ++i) {
    tokens.push_back(static_cast<TokenId>(rng() % 12));
    const auto grown = draft.Propose(tokens, 6);
    if (i % 100 == 99) {
      const auto at_once = NgramDraft().Propose(tokens, 6);
      CHECK(std::equal(grown.begin(), grown.end(), at_once.begin(), at_once.end(),
                       [](const DraftNode& a, const DraftNode& b) {
                         return a.parent == b.parent && a.token == b.token && a.kind == b.kind;
                       }));
    }
    CHECK(grown.size() <= 6);
    for (size_t n = 0; n < grown.size(); ++n) {
      CHECK(grown[n].parent < static_cast<int32_t>(n));
      CHECK(grown[n].token >= 0 && grown[n].token < 12);
    }
    if (i % 10 != 0) continue;
    found += !grown.empty();
    repeated += LongestRepetition(tokens) >= 2;
  }
  CHECK(found <= repeated);
  CHECK(found > repeated * 9 / 10);  // a stranger with the same hash may hide one
}
