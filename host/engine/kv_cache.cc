#include "engine/kv_cache.h"

#include <algorithm>

namespace minnow::engine {

namespace {

constexpr size_t kTokens = model::kPageTokens;
// A page is not copied for fewer tokens, such as the one that all texts begin with.
constexpr size_t kWorthCopying = 4;

size_t ColumnsFor(size_t positions) { return (positions + kTokens - 1) / kTokens; }

}  // namespace

KvCache::KvCache(const model::Instance& instance, uint32_t step_tokens, uint64_t keep_bytes)
    : pool_(instance, step_tokens),
      tree_(pool_),
      shares_(pool_.n_groups() > 0),
      copies_(instance.can_copy_pages()) {
  const uint64_t page_bytes = std::max<uint64_t>(1, instance.state_bytes() / std::max(1u, total()));
  uint64_t most = UINT64_MAX;
  if (keep_bytes == kPrefixCacheByContext) {
    keep_bytes = uint64_t{512} << 20;
    most = uint64_t{4} * instance.page_columns();
  }
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    if (pool_.recurrent(g)) shares_ = false;
    most_kept_.push_back(static_cast<uint32_t>(
        std::min<uint64_t>({keep_bytes / page_bytes / pool_.n_groups(), most, pool_.size(g)})));
  }
}

bool KvCache::Begin(uint32_t branches, PageTable* table) {
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    if (pool_.recurrent(g) && pool_.free(g) < 1 + branches) return false;
  }
  table->pages.assign(pool_.n_groups(), {});
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    for (uint32_t i = 0; pool_.recurrent(g) && i < 1 + branches; ++i) {
      table->pages[g].push_back(pool_.Take(g));
    }
  }
  return true;
}

void KvCache::Release(PageTable* table) {
  for (uint32_t g = 0; g < table->pages.size(); ++g) {
    for (const int32_t page : table->pages[g]) {
      if (page >= 0) pool_.GiveUp(g, page);
    }
  }
  *table = PageTable();
  Shrink();
}

// Pages that running sequences have do not count, so this does nothing for as long as they run.
void KvCache::Shrink() {
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    while (pool_.only_kept(g) > most_kept_[g] && tree_.Evict(g)) {
    }
  }
}

int32_t KvCache::Take(uint32_t group) {
  int32_t page = pool_.Take(group);
  while (page < 0 && tree_.Evict(group)) page = pool_.Take(group);
  return page;
}

// A page of each group for a copy of the match's last one; none if there is no room. The match's
// own pages stay meanwhile, though the tree alone may have them.
std::vector<int32_t> KvCache::TakeForCopy(const PrefixTree::Match& match) {
  const auto for_all = [&](auto change) {
    for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
      for (const int32_t page : match.pages[g]) {
        if (page >= 0) (pool_.*change)(g, page);
      }
    }
  };
  std::vector<int32_t> copies;
  for_all(&PagePool::Share);
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    const int32_t page = Take(g);
    if (page < 0) break;
    copies.push_back(page);
  }
  for_all(&PagePool::GiveUp);
  if (copies.size() == pool_.n_groups()) return copies;
  for (uint32_t g = 0; g < copies.size(); ++g) pool_.GiveUp(g, copies[g]);
  return {};
}

size_t KvCache::Attach(AdapterId adapter, std::span<const TokenId> tokens, size_t committed,
                       PageTable* table, std::vector<mnw_page_edit>* edits) {
  if (!shares_) return committed;
  PrefixTree::Match match = tree_.Find(adapter, tokens);
  size_t full = match.length / kTokens, part = match.length % kTokens;
  std::vector<int32_t> copies;
  if (copies_ && match.length >= std::max(committed, full * kTokens) + kWorthCopying && part > 0) {
    copies = TakeForCopy(match);
  }
  if (copies.empty() && part > 0) {
    // Whole pages alone: their windows reach further back.
    match = tree_.Find(adapter, tokens.first(full * kTokens));
    full = match.length / kTokens;
    part = 0;
  }
  if (match.length <= committed) return committed;
  // The pages that differ from the sequence's own: where it wrote last, and behind.
  const size_t first = committed / kTokens;
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    std::vector<int32_t>& own = table->pages[g];
    own.resize(std::max(own.size(), full + (part > 0)), -1);
    for (size_t c = first; c < own.size(); ++c) {
      if (own[c] >= 0) pool_.GiveUp(g, own[c]);
      own[c] = -1;
    }
    for (size_t c = first; c < full; ++c) {
      own[c] = match.pages[g][c];
      if (own[c] >= 0) pool_.Share(g, own[c]);
    }
    if (part == 0) continue;
    own[full] = copies[g];
    edits->push_back({g, match.pages[g][full], copies[g], static_cast<uint32_t>(part)});
  }
  Trim(table, match.length);
  return match.length;
}

void KvCache::Insert(AdapterId adapter, std::span<const TokenId> committed, PageTable* table) {
  if (shares_) tree_.Insert(adapter, committed, table);
}

size_t KvCache::Extend(PageTable* table, size_t first, size_t n) {
  for (size_t c = first / kTokens; n > 0 && c < ColumnsFor(first + n); ++c) {
    for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
      if (pool_.recurrent(g)) continue;
      std::vector<int32_t>& pages = table->pages[g];
      if (pages.size() <= c) pages.resize(c + 1, -1);
      if (pages[c] < 0) pages[c] = Take(g);
      // A page that one group has and another lacks waits there for its turn.
      if (pages[c] < 0) return c * kTokens > first ? c * kTokens - first : 0;
    }
  }
  return n;
}

int32_t KvCache::Slot(const PageTable& table, uint32_t group, size_t position) const {
  const std::vector<int32_t>& pages = table.pages[group];
  if (pool_.recurrent(group)) return pages[0];
  return pages[position / kTokens] * static_cast<int32_t>(kTokens) +
         static_cast<int32_t>(position % kTokens);
}

void KvCache::Trim(PageTable* table, size_t next_position) {
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) {
    const size_t window = pool_.window(g);
    if (pool_.recurrent(g) || window == 0 || next_position < window) continue;
    const size_t first_readable = next_position - window + 1;
    std::vector<int32_t>& pages = table->pages[g];
    for (size_t c = 0; c < pages.size() && (c + 1) * kTokens <= first_readable; ++c) {
      if (pages[c] < 0) continue;
      pool_.GiveUp(g, pages[c]);
      pages[c] = -1;
    }
  }
}

uint32_t KvCache::Missing(const PageTable& table, uint32_t group, size_t committed,
                          size_t length) const {
  if (pool_.recurrent(group)) return 0;
  const std::vector<int32_t>& pages = table.pages[group];
  uint32_t held = 0, absent = 0;
  for (const int32_t page : pages) held += page >= 0;
  for (size_t c = committed / kTokens; c < ColumnsFor(length); ++c) {
    absent += c >= pages.size() || pages[c] < 0;
  }
  const uint32_t most = pool_.Need(group, static_cast<uint32_t>(length));
  return std::min(absent, most > held ? most - held : 0);
}

uint32_t KvCache::MissingForNew(AdapterId adapter, std::span<const TokenId> tokens, size_t length,
                                uint32_t group) {
  if (pool_.recurrent(group)) return 0;  // Begin says
  const uint32_t all = pool_.Need(group, static_cast<uint32_t>(length));
  if (!shares_) return all;
  const PrefixTree::Match match = tree_.Find(adapter, tokens);
  if (match.length == 0) return all;
  uint32_t shared = 0, idle = 0;
  for (size_t c = 0; c < match.length / kTokens; ++c) {
    const int32_t page = match.pages[group][c];
    if (page < 0) continue;
    ++shared;
    idle += pool_.OnlyKept(group, page);
  }
  return (all > shared ? all - shared : 0) + idle;
}

uint32_t KvCache::used() const {
  uint32_t n = 0;
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) n += pool_.size(g) - available(g);
  return n;
}

uint32_t KvCache::kept() const {
  uint32_t n = 0;
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) n += pool_.only_kept(g);
  return n;
}

uint32_t KvCache::total() const {
  uint32_t n = 0;
  for (uint32_t g = 0; g < pool_.n_groups(); ++g) n += pool_.size(g);
  return n;
}

}  // namespace minnow::engine
