// Who has which page of the cache.
//
// A page of keys and values has one owner or several: sequences that stand on it and the prefix
// tree, which keeps it when they are gone. It is free when the last has given it up. In a recurrent
// group a page is a block, which one sequence has for itself. Threads: the executor's; what depends
// on sizes alone, any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/instance.h"

namespace minnow::engine {

// The pages of one sequence: by group, by position / 32; -1 where there is none. In a recurrent
// group: its block, then those of its branches.
struct PageTable {
  std::vector<std::vector<int32_t>> pages;
};

class PagePool {
 public:
  // `step_tokens`: the rows of the largest step, which a windowed group must hold beside its
  // window.
  PagePool(const model::Instance& instance, uint32_t step_tokens);

  // Pages of each group that a sequence of this length can need at one time. Any thread.
  uint32_t Need(uint32_t group, uint32_t length, uint32_t branches = 0) const;
  // In an empty cache? Any thread.
  bool CanEverFit(uint32_t length, uint32_t branches = 0) const;

  // A page with one owner; -1 if none is free.
  int32_t Take(uint32_t group);
  void Share(uint32_t group, int32_t page);   // one owner more
  void GiveUp(uint32_t group, int32_t page);  // one less
  // The same for the prefix tree.
  void Keep(uint32_t group, int32_t page);
  void Drop(uint32_t group, int32_t page);
  // Has it the tree as its only owner?
  bool OnlyKept(uint32_t group, int32_t page) const {
    const Page& p = groups_[group].pages[static_cast<size_t>(page)];
    return p.kept && p.owners == 1;
  }

  uint32_t n_groups() const { return static_cast<uint32_t>(groups_.size()); }
  bool recurrent(uint32_t group) const { return groups_[group].recurrent; }
  uint32_t window(uint32_t group) const { return groups_[group].window; }
  uint32_t size(uint32_t group) const { return static_cast<uint32_t>(groups_[group].pages.size()); }
  uint32_t free(uint32_t group) const { return static_cast<uint32_t>(groups_[group].free.size()); }
  uint32_t only_kept(uint32_t group) const { return groups_[group].only_kept; }

 private:
  struct Page {
    uint32_t owners = 0;
    bool kept = false;
  };
  struct Group {
    bool recurrent;
    uint32_t window;
    uint32_t only_kept = 0;
    std::vector<Page> pages;
    std::vector<int32_t> free;  // the next one last
  };
  void Change(uint32_t group, int32_t page, int by, bool kept);
  Page& At(uint32_t group, int32_t page) { return groups_[group].pages[static_cast<size_t>(page)]; }

  const uint32_t step_tokens_;
  std::vector<Group> groups_;
};

}  // namespace minnow::engine
