#include "engine/page_pool.h"

#include <algorithm>

namespace minnow::engine {

namespace {

constexpr uint32_t kTokens = model::kPageTokens;

uint32_t PagesFor(uint32_t positions) { return (positions + kTokens - 1) / kTokens; }

}  // namespace

PagePool::PagePool(const model::Instance& instance, uint32_t step_tokens)
    : step_tokens_(step_tokens) {
  for (uint32_t i = 0; i < instance.n_groups(); ++i) {
    Group group{instance.recurrent(i), instance.window(i), instance.n_pages(i), 0, {}};
    for (uint32_t p = group.n_pages; p > 0; --p) group.free.push_back(static_cast<int32_t>(p - 1));
    groups_.push_back(std::move(group));
  }
}

uint32_t PagePool::Need(uint32_t group, uint32_t length, uint32_t branches) const {
  if (groups_[group].recurrent) return 1 + branches;
  const uint32_t all = PagesFor(length);
  const uint32_t window = groups_[group].window;
  // The window, a step's rows beyond it, and a page cut at each end.
  return window == 0 ? all : std::min(all, PagesFor(window + step_tokens_) + 1);
}

bool PagePool::CanEverFit(uint32_t length, uint32_t branches) const {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    if (Need(g, length, branches) > groups_[g].n_pages) return false;
  }
  return true;
}

bool PagePool::Reserve(uint32_t length, uint32_t branches, PageTable* table) {
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].reserved + Need(g, length, branches) > groups_[g].n_pages) return false;
  }
  table->pages.assign(groups_.size(), {});
  table->reserved.clear();
  for (uint32_t g = 0; g < groups_.size(); ++g) {
    const uint32_t need = Need(g, length, branches);
    groups_[g].reserved += need;
    table->reserved.push_back(need);
    for (uint32_t i = 0; groups_[g].recurrent && i < need; ++i) {
      table->pages[g].push_back(Take(g));
    }
  }
  return true;
}

int32_t PagePool::Take(uint32_t group) {
  const int32_t page = groups_[group].free.back();
  groups_[group].free.pop_back();
  return page;
}

void PagePool::Release(PageTable* table) {
  for (size_t g = 0; g < table->pages.size(); ++g) {
    for (int32_t page : table->pages[g]) {
      if (page >= 0) groups_[g].free.push_back(page);
    }
    groups_[g].reserved -= table->reserved[g];
  }
  *table = PageTable();
}

int32_t PagePool::Slot(PageTable* table, uint32_t group, uint32_t position) {
  std::vector<int32_t>& pages = table->pages[group];
  if (groups_[group].recurrent) return pages[0];
  const size_t column = position / kTokens;
  if (pages.size() <= column) pages.resize(column + 1, -1);
  if (pages[column] < 0) pages[column] = Take(group);
  return pages[column] * static_cast<int32_t>(kTokens) + static_cast<int32_t>(position % kTokens);
}

void PagePool::Trim(PageTable* table, uint32_t next_position) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const uint32_t window = groups_[g].window;
    if (groups_[g].recurrent || window == 0 || next_position < window) continue;
    const uint32_t first_readable = next_position - window + 1;
    std::vector<int32_t>& pages = table->pages[g];
    for (size_t c = 0; c < pages.size() && (c + 1) * kTokens <= first_readable; ++c) {
      if (pages[c] < 0) continue;
      groups_[g].free.push_back(pages[c]);
      pages[c] = -1;
    }
  }
}

uint32_t PagePool::used() const {
  uint32_t n = 0;
  for (const Group& g : groups_) n += g.n_pages - static_cast<uint32_t>(g.free.size());
  return n;
}

uint32_t PagePool::total() const {
  uint32_t n = 0;
  for (const Group& g : groups_) n += g.n_pages;
  return n;
}

}  // namespace minnow::engine
