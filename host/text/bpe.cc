#include "text/bpe.h"

#include <algorithm>

namespace minnow::text {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};

}  // namespace

void MergeTable::Reserve(size_t n_merges) {
  size_t n_slots = slots_.size();
  while (n_slots < 2 * n_merges + 1) n_slots *= 2;
  if (n_slots > slots_.size()) Grow(n_slots);
}

void MergeTable::Grow(size_t n_slots) {
  std::vector<Slot> old(n_slots, Slot{kEmpty, {}});
  old.swap(slots_);
  mask_ = n_slots - 1;
  for (const Slot& slot : old) {
    if (slot.key == kEmpty) continue;
    size_t i = Hash(slot.key) & mask_;
    while (slots_[i].key != kEmpty) i = (i + 1) & mask_;
    slots_[i] = slot;
  }
}

void MergeTable::Add(TokenId left, TokenId right, MergeResult result) {
  Reserve(size_ + 1);
  const uint64_t key = Key(left, right);
  size_t i = Hash(key) & mask_;
  for (; slots_[i].key != kEmpty; i = (i + 1) & mask_) {
    if (slots_[i].key == key) return;
  }
  slots_[i] = {key, result};
  ++size_;
}

void BpeWork::Push(TokenId id, size_t length) {
  const uint32_t index = static_cast<uint32_t>(symbols_.size());
  symbols_.push_back({id, static_cast<uint32_t>(length), index == 0 ? kNone : index - 1, kNone});
  if (index > 0) symbols_[index - 1].next = index;
}

bool BpeWork::FindCandidate(const MergeTable& table, uint32_t left, Candidate& found) const {
  if (left == kNone || symbols_[left].next == kNone) return false;
  const TokenId left_id = symbols_[left].id;
  const TokenId right_id = symbols_[symbols_[left].next].id;
  const MergeResult* merge = table.Find(left_id, right_id);
  if (!merge) return false;
  found = {merge->rank, left, left_id, right_id, merge->id};
  return true;
}

void BpeWork::Merge(const MergeTable& table) {
  heap_.clear();
  Candidate candidate;
  for (uint32_t i = 0; i + 1 < symbols_.size(); ++i) {
    if (FindCandidate(table, i, candidate)) heap_.push_back(candidate);
  }
  std::make_heap(heap_.begin(), heap_.end());
  const auto add = [&](uint32_t left) {
    if (!FindCandidate(table, left, candidate)) return;
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end());
  };
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    Symbol& left = symbols_[best.left];
    // A symbol that merged since has another id or length 0; equal ids mean an equally valid merge.
    if (left.length == 0 || left.id != best.left_id || left.next == kNone) continue;
    Symbol& right = symbols_[left.next];
    if (right.id != best.right_id) continue;
    left.id = best.result;
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (right.next != kNone) symbols_[right.next].previous = best.left;
    add(left.previous);
    add(best.left);
  }
}

}  // namespace minnow::text
