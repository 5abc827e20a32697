#include "engine/page_pool.h"

#include <set>

#include "engine/fake_engine.h"

using minnow::engine::PagePool;
using minnow::engine::PageTable;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;

namespace {

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

}  // namespace

TEST_GROUP(PagePool) {
  FakeInstance fake{TwoGroups()};
  PagePool pool{fake.instance(), 32};
  PageTable table;

  void Fill(PageTable & t, uint32_t from, uint32_t to) {
    for (uint32_t group : {0u, 1u}) {
      for (uint32_t p = from; p < to; ++p) pool.Slot(&t, group, p);
    }
  }
};

TEST(PagePool, CountsPagesOfAllGroups) {
  UNSIGNED_LONGS_EQUAL(20, pool.total());
  UNSIGNED_LONGS_EQUAL(0, pool.used());
}

TEST(PagePool, NeedsAPagePer32PositionsAndNoMoreThanWindowAndStep) {
  UNSIGNED_LONGS_EQUAL(1, pool.Need(0, 1));
  UNSIGNED_LONGS_EQUAL(1, pool.Need(0, 32));
  UNSIGNED_LONGS_EQUAL(2, pool.Need(0, 33));
  UNSIGNED_LONGS_EQUAL(32, pool.Need(0, 1024));
  UNSIGNED_LONGS_EQUAL(2, pool.Need(1, 33));
  UNSIGNED_LONGS_EQUAL(4, pool.Need(1, 1024));  // (64 + 32) / 32, and one that is cut
}

TEST(PagePool, KnowsWhatCanNeverFit) {
  CHECK(pool.CanEverFit(320));
  CHECK(!pool.CanEverFit(321));
  CHECK(pool.Reserve(320, 0, &table));
  CHECK(pool.CanEverFit(320));  // not now, but ever
}

TEST(PagePool, ReservesBeforePagesAreTaken) {
  PageTable second, third;
  CHECK(pool.Reserve(7 * 32, 0, &table));
  CHECK(!pool.Reserve(3 * 32 + 1, 0, &second));
  CHECK(second.pages.empty());
  CHECK(pool.Reserve(3 * 32, 0, &second));
  CHECK(!pool.Reserve(1, 0, &third));
  UNSIGNED_LONGS_EQUAL(0, pool.used());
  pool.Release(&second);
  CHECK(pool.Reserve(1, 0, &third));
}

TEST(PagePool, ASlotIsThePagesPlaceOfThePosition) {
  CHECK(pool.Reserve(100, 0, &table));
  const int32_t first = pool.Slot(&table, 0, 0);
  LONGS_EQUAL(0, first % 32);
  LONGS_EQUAL(first + 31, pool.Slot(&table, 0, 31));
  LONGS_EQUAL(first, pool.Slot(&table, 0, 0));
  UNSIGNED_LONGS_EQUAL(1, pool.used());
  CHECK(pool.Slot(&table, 0, 32) / 32 != first / 32);
  LONGS_EQUAL(table.pages[0][1] * 32 + 5, pool.Slot(&table, 0, 37));
  UNSIGNED_LONGS_EQUAL(2, pool.used());
  UNSIGNED_LONGS_EQUAL(0, PagesOf(table, 1));
}

TEST(PagePool, NoTwoSequencesShareAPage) {
  PageTable other;
  CHECK(pool.Reserve(160, 0, &table));
  CHECK(pool.Reserve(160, 0, &other));
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

TEST(PagePool, TrimGivesBackOnlyWhatNoRowCanRead) {
  CHECK(pool.Reserve(200, 0, &table));
  Fill(table, 0, 96);
  pool.Trim(&table, 94);  // reads 31..94
  UNSIGNED_LONGS_EQUAL(3, PagesOf(table, 1));
  pool.Trim(&table, 95);  // reads 32..95
  LONGS_EQUAL(-1, table.pages[1][0]);
  UNSIGNED_LONGS_EQUAL(2, PagesOf(table, 1));
  UNSIGNED_LONGS_EQUAL(3, PagesOf(table, 0));
  pool.Trim(&table, 95);
  UNSIGNED_LONGS_EQUAL(5, pool.used());
}

TEST(PagePool, AWindowNeedsNoMoreThanItReserves) {
  for (uint32_t step : {1u, 7u, 31u, 32u}) {
    CHECK(pool.Reserve(320, 0, &table));
    for (uint32_t p = 0; p < 320; p += step) {
      Fill(table, p, std::min(320u, p + step));
      CHECK(PagesOf(table, 1) <= table.reserved[1]);
      pool.Trim(&table, std::min(320u, p + step));
    }
    pool.Release(&table);
  }
}

TEST(PagePool, ReleaseReturnsEverything) {
  for (int i = 0; i < 3; ++i) {
    CHECK(pool.Reserve(320, 0, &table));
    Fill(table, 0, 96);
    pool.Trim(&table, 96);
    Fill(table, 96, 128);
    pool.Release(&table);
    UNSIGNED_LONGS_EQUAL(0, pool.used());
    CHECK(table.pages.empty());
  }
}
