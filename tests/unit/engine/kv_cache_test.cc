#include "engine/kv_cache.h"

#include <set>

#include "engine/fake_engine.h"

using minnow::engine::AdapterId;
using minnow::engine::KvCache;
using minnow::engine::PageTable;
using minnow::engine::TokenId;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;
using minnow::test::Prompt;

namespace {

constexpr uint64_t kKeepAll = uint64_t{1} << 40;
using Tokens = std::vector<TokenId>;

// Group 0 keeps everything, group 1 a window of 64 positions. Ten pages each.
FakeEngineOptions TwoGroups() {
  FakeEngineOptions options;
  options.model.windows = {0, 64};
  options.model.n_ctx = 1024;
  options.instance.kv_tokens = 10 * 32;
  return options;
}

uint32_t PagesOf(const PageTable& table, uint32_t group) {
  uint32_t n = 0;
  for (int32_t page : table.pages[group]) n += page >= 0;
  return n;
}

Tokens First(const Tokens& tokens, size_t n) {
  return Tokens(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(n));
}

// `shared` tokens of one text, then those of another.
Tokens Branch(const Tokens& text, size_t shared, size_t n, uint32_t seed) {
  Tokens tokens = First(text, shared);
  const Tokens rest = Prompt(n - shared, seed);
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  if (shared < text.size() && shared < n) tokens[shared] = (text[shared] + 1) % 64;
  return tokens;
}

}  // namespace

TEST_GROUP(KvCache) {
  FakeInstance fake{TwoGroups()};
  KvCache cache{fake.instance(), 32, kKeepAll};
  PageTable table;
  std::vector<mnw_page_edit> edits;
  const Tokens text = Prompt(320, 1);

  void setup() override { CHECK(cache.Begin(0, &table)); }

  void Fill(PageTable & t, size_t from, size_t to) {
    UNSIGNED_LONGS_EQUAL(to - from, cache.Extend(&t, from, to - from));
  }
  // A sequence computes these tokens as the engine does, chunk by chunk, and ends.
  void Run(const Tokens& tokens, AdapterId adapter = 0) {
    PageTable t;
    CHECK(cache.Begin(0, &t));
    for (size_t i = 0; i < tokens.size(); i += 32) {
      const size_t end = std::min(i + 32, tokens.size());
      Fill(t, i, end);
      cache.Insert(adapter, First(tokens, end), &t);
      cache.Trim(&t, end);
    }
    cache.Release(&t);
  }
  size_t Attach(const Tokens& tokens, PageTable* t, size_t committed = 0, AdapterId adapter = 0) {
    edits.clear();
    return cache.Attach(adapter, tokens, committed, t, &edits);
  }
  size_t Known(const Tokens& tokens, AdapterId adapter = 0) {
    PageTable t;
    CHECK(cache.Begin(0, &t));
    const size_t known = Attach(tokens, &t, 0, adapter);
    cache.Release(&t);
    return known;
  }
};

TEST(KvCache, CountsPagesOfAllGroups) {
  UNSIGNED_LONGS_EQUAL(20, cache.total());
  UNSIGNED_LONGS_EQUAL(0, cache.used());
  UNSIGNED_LONGS_EQUAL(0, cache.kept());
}

TEST(KvCache, ASequenceNeedsNoMoreThanWindowAndStep) {
  CHECK(cache.CanEverFit(320, 0));
  CHECK(!cache.CanEverFit(321, 0));
  UNSIGNED_LONGS_EQUAL(1, cache.Missing(table, 0, 0, 32));
  UNSIGNED_LONGS_EQUAL(2, cache.Missing(table, 0, 0, 33));
  UNSIGNED_LONGS_EQUAL(2, cache.Missing(table, 1, 0, 33));
  UNSIGNED_LONGS_EQUAL(4, cache.Missing(table, 1, 0, 320));  // (64 + 32) / 32, one that is cut
}

TEST(KvCache, ASlotIsThePagesPlaceOfThePosition) {
  Fill(table, 0, 38);
  const int32_t first = cache.Slot(table, 0, 0);
  LONGS_EQUAL(0, first % 32);
  LONGS_EQUAL(first + 31, cache.Slot(table, 0, 31));
  CHECK(cache.Slot(table, 0, 32) / 32 != first / 32);
  LONGS_EQUAL(table.pages[0][1] * 32 + 5, cache.Slot(table, 0, 37));
  UNSIGNED_LONGS_EQUAL(4, cache.used());
  Fill(table, 38, 64);  // on the page that is there
  UNSIGNED_LONGS_EQUAL(4, cache.used());
}

TEST(KvCache, SequencesThatShareNothingHaveNoPageInCommon) {
  PageTable other;
  CHECK(cache.Begin(0, &other));
  Fill(table, 0, 128);
  Fill(other, 0, 128);
  for (uint32_t group : {0u, 1u}) {
    std::set<int32_t> pages(table.pages[group].begin(), table.pages[group].end());
    pages.insert(other.pages[group].begin(), other.pages[group].end());
    UNSIGNED_LONGS_EQUAL(8, pages.size());
    CHECK(*pages.begin() >= 0);
    CHECK(*pages.rbegin() < 10);
  }
}

TEST(KvCache, ThereIsRoomForAsManyPositionsAsThereArePages) {
  PageTable other;
  CHECK(cache.Begin(0, &other));
  Fill(table, 0, 250);  // 8 of 10
  UNSIGNED_LONGS_EQUAL(64, cache.Extend(&other, 0, 100));
  UNSIGNED_LONGS_EQUAL(0, cache.Extend(&other, 64, 1));
  UNSIGNED_LONGS_EQUAL(6, cache.Extend(&table, 250, 20));
  cache.Release(&other);
  UNSIGNED_LONGS_EQUAL(14, cache.Extend(&table, 256, 14));
}

TEST(KvCache, TrimGivesBackOnlyWhatNoRowCanRead) {
  Fill(table, 0, 96);
  cache.Trim(&table, 94);  // reads 31..94
  UNSIGNED_LONGS_EQUAL(3, PagesOf(table, 1));
  cache.Trim(&table, 95);  // reads 32..95
  LONGS_EQUAL(-1, table.pages[1][0]);
  UNSIGNED_LONGS_EQUAL(2, PagesOf(table, 1));
  UNSIGNED_LONGS_EQUAL(3, PagesOf(table, 0));
  cache.Trim(&table, 95);
  UNSIGNED_LONGS_EQUAL(5, cache.used());
}

TEST(KvCache, FindsWhatASequenceLeftToTheToken) {
  Run(First(text, 100));
  UNSIGNED_LONGS_EQUAL(0, cache.used());
  UNSIGNED_LONGS_EQUAL(100, Known(text));
  UNSIGNED_LONGS_EQUAL(90, Known(First(text, 90)));
  UNSIGNED_LONGS_EQUAL(64, Known(First(text, 64)));
  UNSIGNED_LONGS_EQUAL(4, Known(Branch(text, 4, 40, 2)));
  UNSIGNED_LONGS_EQUAL(0, Known(Branch(text, 3, 40, 2)));  // not worth a copy
  UNSIGNED_LONGS_EQUAL(77, Known(Branch(text, 77, 300, 3)));
  UNSIGNED_LONGS_EQUAL(0, Known(Branch(text, 0, 300, 3)));
}

TEST(KvCache, FullPagesAreSharedAndTheLastPartIsCopied) {
  Run(First(text, 100));
  UNSIGNED_LONGS_EQUAL(77, Attach(Branch(text, 77, 100, 2), &table));
  UNSIGNED_LONGS_EQUAL(2, edits.size());  // one for each group
  for (const mnw_page_edit& edit : edits) {
    UNSIGNED_LONGS_EQUAL(13, edit.n_tokens);
    LONGS_EQUAL(table.pages[edit.group][2], edit.dst);
    CHECK(edit.src != edit.dst);
  }
  UNSIGNED_LONGS_EQUAL(64, Attach(First(text, 64), &table, 0));
  CHECK(edits.empty());
}

// The token after 95 others reads none of the first page in the window's group, the token after 64
// does: where there is no room for a copy of the third page, nothing is left that can be used.
TEST(KvCache, WholePagesAloneAreTakenOnlyWithTheirOwnWindow) {
  PageTable gone, other;
  CHECK(cache.Begin(0, &gone));
  Fill(gone, 0, 95);
  cache.Trim(&gone, 95);
  cache.Insert(0, First(text, 95), &gone);
  cache.Release(&gone);
  UNSIGNED_LONGS_EQUAL(95, cache.Known(0, text));
  Fill(table, 0, 224);  // the rest of the pages
  CHECK(cache.Begin(0, &other));
  UNSIGNED_LONGS_EQUAL(0, Attach(text, &other));
  CHECK(edits.empty());
  cache.Release(&table);
  UNSIGNED_LONGS_EQUAL(95, Attach(text, &other));
  UNSIGNED_LONGS_EQUAL(2, edits.size());
}

TEST(KvCache, AdaptersHavePrefixesOfTheirOwn) {
  Run(First(text, 100), 7);
  UNSIGNED_LONGS_EQUAL(0, Known(text));
  UNSIGNED_LONGS_EQUAL(0, Known(text, 8));
  UNSIGNED_LONGS_EQUAL(100, Known(text, 7));
  cache.DropAdapter(7);
  UNSIGNED_LONGS_EQUAL(0, Known(text, 7));
  UNSIGNED_LONGS_EQUAL(0, cache.kept());
}

TEST(KvCache, ARunningSequenceCanBeJoined) {
  Fill(table, 0, 70);
  cache.Insert(0, First(text, 70), &table);
  PageTable other;
  CHECK(cache.Begin(0, &other));
  UNSIGNED_LONGS_EQUAL(70, Attach(text, &other));
  LONGS_EQUAL(table.pages[0][1], other.pages[0][1]);
  CHECK(table.pages[0][2] != other.pages[0][2]);
  // The first goes on in its own page, which the tree knows in part.
  Fill(table, 70, 96);
  cache.Insert(0, First(text, 96), &table);
  UNSIGNED_LONGS_EQUAL(96, Known(text));
  cache.Release(&table);
  cache.Release(&other);
  UNSIGNED_LONGS_EQUAL(6, cache.kept());
}

TEST(KvCache, ASequenceOnItsWayIsTakenFurther) {
  Run(First(text, 128));
  Fill(table, 0, 40);
  UNSIGNED_LONGS_EQUAL(100, Attach(First(text, 100), &table, 40));
  UNSIGNED_LONGS_EQUAL(2, edits.size());
  LONGS_EQUAL(3, edits[0].dst == table.pages[0][3] ? 3 : -1);
  UNSIGNED_LONGS_EQUAL(100, Attach(Branch(text, 90, 300, 2), &table, 100));  // knows less
  CHECK(edits.empty());
}

TEST(KvCache, OfTwoPagesWithTheSameTokensOneIsGivenUp) {
  PageTable other;
  CHECK(cache.Begin(0, &other));
  Fill(table, 0, 64);
  Fill(other, 0, 64);
  cache.Insert(0, First(text, 64), &table);
  UNSIGNED_LONGS_EQUAL(8, cache.used());
  cache.Insert(0, First(text, 64), &other);
  UNSIGNED_LONGS_EQUAL(4, cache.used());
  LONGS_EQUAL(table.pages[0][1], other.pages[0][1]);
}

TEST(KvCache, TheLeastRecentlyUsedGoesFirstAndFromItsEnd) {
  Run(First(text, 96));
  const Tokens second = Prompt(96, 2);
  Run(second);
  UNSIGNED_LONGS_EQUAL(96, Known(text));
  Fill(table, 0, 6 * 32);  // 4 pages are free, two more are needed
  UNSIGNED_LONGS_EQUAL(32, Known(second));
  PageTable other;
  CHECK(cache.Begin(0, &other));
  UNSIGNED_LONGS_EQUAL(96, Attach(text, &other));
  UNSIGNED_LONGS_EQUAL(32, cache.Extend(&other, 96, 200));  // the last page of the second
  UNSIGNED_LONGS_EQUAL(0, Known(second));
}

TEST(KvCache, NoPageOfARunningSequenceIsEvicted) {
  Fill(table, 0, 96);
  cache.Insert(0, First(text, 96), &table);
  PageTable other;
  CHECK(cache.Begin(0, &other));
  UNSIGNED_LONGS_EQUAL(7 * 32, cache.Extend(&other, 0, 320));
  UNSIGNED_LONGS_EQUAL(96, Known(text));
}

TEST(KvCache, AWindowsPagesMayGoBeforeItsPrefix) {
  Run(First(text, 256));  // 8 pages of each group
  PageTable other;
  CHECK(cache.Begin(0, &other));
  // Only the whole window before the end matters, so a text that ends in the middle is known too.
  UNSIGNED_LONGS_EQUAL(256, Attach(text, &other));
  LONGS_EQUAL(-1, other.pages[1][5]);
  CHECK(other.pages[1][6] >= 0);
  UNSIGNED_LONGS_EQUAL(192, Known(First(text, 192)));
  // The table holds two pages of the window, and wants six more: four of those kept must go.
  Fill(table, 0, 32);
  UNSIGNED_LONGS_EQUAL(32, cache.Extend(&table, 32, 64));
  cache.Release(&table);
  CHECK(cache.Begin(0, &table));
  UNSIGNED_LONGS_EQUAL(256, Known(text));
}

TEST(KvCache, KeepsNoMoreThanItIsAllowed) {
  const uint64_t page = fake.instance().state_bytes() / 20;
  KvCache small(fake.instance(), 32, 6 * page);
  PageTable t;
  CHECK(small.Begin(0, &t));
  UNSIGNED_LONGS_EQUAL(160, small.Extend(&t, 0, 160));
  small.Insert(0, First(text, 160), &t);
  UNSIGNED_LONGS_EQUAL(10, small.used());
  small.Release(&t);
  UNSIGNED_LONGS_EQUAL(6, small.kept());
  KvCache none(fake.instance(), 32, 0);
  CHECK(none.Begin(0, &t));
  UNSIGNED_LONGS_EQUAL(160, none.Extend(&t, 0, 160));
  none.Insert(0, First(text, 160), &t);
  none.Release(&t);
  UNSIGNED_LONGS_EQUAL(0, none.kept());
}

TEST(KvCache, WhatANewSequenceTakesIsWhatItDoesNotShareAndWhatNobodyUsesNow) {
  Run(First(text, 96));
  UNSIGNED_LONGS_EQUAL(3, cache.MissingForNew(0, First(text, 96), 96, 0));  // all idle
  UNSIGNED_LONGS_EQUAL(96, Attach(First(text, 96), &table));
  UNSIGNED_LONGS_EQUAL(0, cache.MissingForNew(0, First(text, 96), 96, 0));
  UNSIGNED_LONGS_EQUAL(2, cache.MissingForNew(0, First(text, 96), 160, 0));
  UNSIGNED_LONGS_EQUAL(5, cache.MissingForNew(0, Prompt(96, 9), 160, 0));
}

// Random sequences that begin alike, run side by side and end: the model of what is in the pages
// says whether each finds its own tokens.
TEST(KvCache, EverySequenceStandsOnItsOwnTokens) {
  struct Sequence {
    Tokens tokens;
    PageTable pages;
    size_t committed;
  };
  std::map<std::pair<uint32_t, int32_t>, Tokens> contents;  // all tokens up to the page's last one
  std::vector<Sequence> running;
  uint32_t seed = 5;
  const auto below = [&](uint32_t n) {
    return (seed = seed * 1664525u + 1013904223u, seed >> 8) % n;
  };
  const auto check = [&](const Sequence& s) {
    for (uint32_t g = 0; g < 2; ++g) {
      const size_t first = g == 1 && s.committed >= 64 ? (s.committed + 1 - 64) / 32 : 0;
      for (size_t c = first; c * 32 < s.committed; ++c) {
        const int32_t page = s.pages.pages[g][c];
        CHECK(page >= 0);
        const Tokens& in = contents[{g, page}];
        const size_t end = std::min(s.committed, c * 32 + 32);
        CHECK(in.size() >= end);
        CHECK(First(in, end) == First(s.tokens, end));
      }
    }
  };
  for (int step = 0; step < 20000; ++step) {
    if (running.size() < 3 && below(2) == 0) {
      const uint32_t shared = below(96);
      Sequence s{Branch(text, shared, shared + 1 + below(96 - shared), below(3)), {}, 0};
      CHECK(cache.Begin(0, &s.pages));
      running.push_back(std::move(s));
      continue;
    }
    if (running.empty()) continue;
    const size_t i = below(static_cast<uint32_t>(running.size()));
    Sequence& s = running[i];
    s.committed = Attach(s.tokens, &s.pages, s.committed);
    for (const mnw_page_edit& edit : edits) {
      Tokens& to = contents[{edit.group, edit.dst}];
      to = contents[{edit.group, edit.src}];
      to.resize(s.committed);
    }
    check(s);
    const size_t want = std::min<size_t>(s.tokens.size() - s.committed, 1 + below(40));
    const size_t n = cache.Extend(&s.pages, s.committed, want);
    for (size_t p = s.committed; p < s.committed + n; ++p) {
      for (uint32_t g = 0; g < 2; ++g) {
        contents[{g, cache.Slot(s.pages, g, p) / 32}] = First(s.tokens, p + 1);
      }
    }
    s.committed += n;
    cache.Insert(0, First(s.tokens, s.committed), &s.pages);
    cache.Trim(&s.pages, s.committed);
    check(s);
    if (s.committed == s.tokens.size() || n == 0 || below(10) == 0) {
      cache.Release(&s.pages);
      running.erase(running.begin() + static_cast<ptrdiff_t>(i));
    }
  }
  for (Sequence& s : running) cache.Release(&s.pages);
  UNSIGNED_LONGS_EQUAL(0, cache.used());
  cache.DropPrefixes();
  UNSIGNED_LONGS_EQUAL(0, cache.kept());
}
