// The cache of a model: pages for running sequences, and prefixes that are kept for later ones.
//
// A sequence takes pages as it goes. Free ones first, then those that only the prefix tree still
// has; when neither is left, the executor takes a running sequence out (preemption), whose tokens
// are computed again later. A sequence writes only pages that it took itself: full ones are shared,
// the part of a page that it has in common with another is copied.
//
// A model with recurrent state has no prefixes to share, since a block holds one position only; an
// encoder has no cache. Threads: the executor's; CanEverFit any.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/page_pool.h"
#include "engine/prefix_tree.h"
#include "engine/request.h"
#include "model/instance.h"

namespace minnow::engine {

// As much as four sequences of the model's context take, and at most 512 MiB.
inline constexpr uint64_t kPrefixCacheByContext = UINT64_MAX;

class KvCache {
 public:
  // `step_tokens`: the rows of the largest step. `keep_bytes`: what prefixes that no running
  // sequence stands on may take; 0: none are kept, though running ones still share.
  KvCache(const model::Instance& instance, uint32_t step_tokens, uint64_t keep_bytes);

  // False without a cache, and where state cannot be shared.
  bool shares() const { return shares_; }

  // Could a sequence of this length run if it were alone?
  bool CanEverFit(uint32_t length, uint32_t branches) const {
    return pool_.CanEverFit(length, branches);
  }

  // Begins a sequence without tokens; false if there is no block of recurrent state for it now.
  bool Begin(uint32_t branches, PageTable* table);
  // Gives back all pages.
  void Release(PageTable* table);

  // The length of the longest known prefix.
  size_t Known(AdapterId adapter, std::span<const TokenId> tokens) {
    return tree_.Find(adapter, tokens).length;
  }
  // Puts the longest known prefix of `tokens` under a sequence that has its first `committed`
  // tokens in the cache. Returns how many it has then; copies of pages are added to `edits`, to be
  // made before anything is written.
  size_t Attach(AdapterId adapter, std::span<const TokenId> tokens, size_t committed,
                PageTable* table, std::vector<mnw_page_edit>* edits);
  // Makes committed tokens known to those that begin alike.
  void Insert(AdapterId adapter, std::span<const TokenId> committed, PageTable* table);
  void DropAdapter(AdapterId adapter) { tree_.Drop(adapter); }
  void DropPrefixes() { tree_.DropAll(); }

  // Takes pages for up to `n` positions from `first` on; returns for how many there is room.
  size_t Extend(PageTable* table, size_t first, size_t n);
  // The slot of a position that has a page. In a recurrent group the sequence's block.
  int32_t Slot(const PageTable& table, uint32_t group, size_t position) const;
  // Gives up pages that no row from `next_position` on can read.
  void Trim(PageTable* table, size_t next_position);

  // Pages of the group that can be taken: free ones, and those that only the tree has.
  uint32_t available(uint32_t group) const { return pool_.free(group) + pool_.only_kept(group); }
  uint32_t n_groups() const { return pool_.n_groups(); }
  // Pages that a sequence has yet to take in a group until it has `length` positions.
  uint32_t Missing(const PageTable& table, uint32_t group, size_t committed, size_t length) const;
  // What a new sequence of these tokens would take from available(group) until it has `length`.
  uint32_t MissingForNew(AdapterId adapter, std::span<const TokenId> tokens, size_t length,
                         uint32_t group);

  // Of all groups.
  uint32_t used() const;  // by running sequences
  uint32_t kept() const;  // by the tree alone
  uint32_t total() const;

 private:
  int32_t Take(uint32_t group);
  std::vector<int32_t> TakeForCopy(const PrefixTree::Match& match);
  void Shrink();

  PagePool pool_;
  PrefixTree tree_;
  bool shares_;
  const bool copies_;                // else full pages alone are shared
  std::vector<uint32_t> most_kept_;  // by group
};

}  // namespace minnow::engine
