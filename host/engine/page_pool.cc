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
    Group group{instance.recurrent(i), instance.window(i), 0, {}, {}};
    group.pages.resize(instance.n_pages(i));
    for (uint32_t p = instance.n_pages(i); p > 0; --p) {
      group.free.push_back(static_cast<int32_t>(p - 1));
    }
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
    if (Need(g, length, branches) > size(g)) return false;
  }
  return true;
}

int32_t PagePool::Take(uint32_t group) {
  Group& g = groups_[group];
  if (g.free.empty()) return -1;
  const int32_t page = g.free.back();
  g.free.pop_back();
  At(group, page) = {1, false};
  return page;
}

void PagePool::Change(uint32_t group, int32_t page, int by, bool kept) {
  Page& p = At(group, page);
  Group& g = groups_[group];
  g.only_kept -= OnlyKept(group, page);
  p.owners += static_cast<uint32_t>(by);
  p.kept = kept;
  g.only_kept += OnlyKept(group, page);
  if (p.owners == 0) g.free.push_back(page);
}

void PagePool::Share(uint32_t group, int32_t page) { Change(group, page, 1, At(group, page).kept); }
void PagePool::GiveUp(uint32_t group, int32_t page) {
  Change(group, page, -1, At(group, page).kept);
}
void PagePool::Keep(uint32_t group, int32_t page) { Change(group, page, 1, true); }
void PagePool::Drop(uint32_t group, int32_t page) { Change(group, page, -1, false); }

}  // namespace minnow::engine
