// Byte-pair merging: which two neighbours become one, and doing it to a row of symbols.
//
// The merge of lowest rank goes first, the leftmost among equals. A heap of candidates keeps the
// cost of n symbols at O(n log n), so that a megabyte without a space is no way to stall a server.
// Threads: a MergeTable is immutable once filled; each caller has its own BpeWork.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace minnow::text {

struct MergeResult {
  uint32_t rank;
  TokenId id;
};

// An open-addressing hash from a pair of symbols to what they become.
class MergeTable {
 public:
  void Reserve(size_t n_merges);
  // The first entry of a pair counts: lists of merges are in order of rank.
  void Add(TokenId left, TokenId right, MergeResult result);
  // Null when the two do not merge.
  const MergeResult* Find(TokenId left, TokenId right) const {
    if (left < 0 || right < 0) return nullptr;
    const uint64_t key = Key(left, right);
    for (size_t i = Hash(key) & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return &slots_[i].result;
      if (slots_[i].key == kEmpty) return nullptr;
    }
  }

 private:
  struct Slot {
    uint64_t key;
    MergeResult result;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t Key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  static size_t Hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15;
    return static_cast<size_t>(key ^ key >> 32);
  }
  void Grow(size_t n_slots);

  std::vector<Slot> slots_ = std::vector<Slot>(1, Slot{kEmpty, {}});
  size_t mask_ = 0;
  size_t size_ = 0;
};

// A row of symbols. Merging leaves those that took part in another at length 0.
struct Symbol {
  TokenId id;       // kNoToken: merges with nothing
  uint32_t length;  // in bytes of text
  uint32_t previous;
  uint32_t next;
};

class BpeWork {
 public:
  void Clear() { symbols_.clear(); }
  void Push(TokenId id, size_t length);
  void Merge(const MergeTable& table);
  std::span<const Symbol> symbols() const { return symbols_; }

 private:
  struct Candidate {
    uint32_t rank;
    uint32_t left;  // index of the left symbol
    TokenId left_id;
    TokenId right_id;
    TokenId result;
    // std::push_heap keeps the largest in front.
    bool operator<(const Candidate& o) const {
      return rank != o.rank ? rank > o.rank : left > o.left;
    }
  };
  bool FindCandidate(const MergeTable& table, uint32_t left, Candidate& found) const;

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace minnow::text
