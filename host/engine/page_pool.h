// Who has which page of the cache.
//
// A sequence reserves, when it is admitted, as many pages as it can ever need at one time, so that
// taking one later cannot fail. In groups with a window, pages that have fallen behind it go back.
// In a recurrent group a page is a block: a sequence takes its own and those of its branches when
// it is admitted, and keeps them to its end. Threads: the executor's.
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
  std::vector<uint32_t> reserved;  // by group
};

class PagePool {
 public:
  // `step_tokens`: the rows of the largest step, which a windowed group must hold beside its
  // window.
  PagePool(const model::Instance& instance, uint32_t step_tokens);

  // Pages of each group that a sequence of this length can need at one time.
  uint32_t Need(uint32_t group, uint32_t length, uint32_t branches = 0) const;
  // In an empty cache?
  bool CanEverFit(uint32_t length, uint32_t branches = 0) const;
  // Reserves for a sequence of at most `length` positions; false if that has to wait.
  bool Reserve(uint32_t length, uint32_t branches, PageTable* table);
  // Gives back all pages and the reservation.
  void Release(PageTable* table);

  // The slot of a position in a group; takes a page where there is none yet. In a recurrent group
  // the sequence's block, whatever the position.
  int32_t Slot(PageTable* table, uint32_t group, uint32_t position);
  // Gives back pages that no row from `next_position` on can read.
  void Trim(PageTable* table, uint32_t next_position);

  uint32_t used() const;  // pages, all groups
  uint32_t total() const;

 private:
  struct Group {
    bool recurrent;
    uint32_t window;
    uint32_t n_pages;
    uint32_t reserved = 0;
    std::vector<int32_t> free;  // the next one last
  };
  int32_t Take(uint32_t group);

  uint32_t step_tokens_;
  std::vector<Group> groups_;
};

}  // namespace minnow::engine
