// Adapters of the CPU backend: for each slot of the pool and each site of the graph a pair of
// packed matrices, and the rows of a step that want them.
//
// A delta of rank r is A [r,K] and B [N,r], B multiplied by the scale, each in the narrowest of
// BF16, F16 and F32 that holds all of its values exactly: the bits are the same, and with many
// adapters in a batch it is their bytes that take the time. Memory is taken when a slot is filled,
// so an empty pool costs nothing. Threads: as the contract's [ctx] tag.
#pragma once

#include <vector>

#include "context.h"

namespace minnow::cpu {

// Rows [begin,end) of a step that have one slot.
struct SlotRun {
  int64_t begin, end;
  uint32_t slot;
};

struct Delta {
  int64_t rank = 0;  // 0: none
  Buffer panels;     // of A, then of B
  const LinearKernel *a_kernel = nullptr, *b_kernel = nullptr;

  const std::byte* a() const { return panels.data(); }
  // Panel p of B, counted over its parts.
  const std::byte* b(int64_t p) const {
    return panels.data() + a_bytes + static_cast<size_t>(p) * b_panel_bytes;
  }
  size_t a_bytes = 0, b_panel_bytes = 0;
};

struct Site {
  uint32_t index;  // the graph's number of it
  int64_t k, n;    // columns and rows of a part of the matrix
  int64_t parts;   // as those of Weight
  int64_t panels() const { return (n + kPanel - 1) / kPanel; }  // of a part
};

int AdaptersCreate(mnw_context* c, const mnw_graph* g, uint32_t n_slots, uint32_t max_rank,
                   mnw_adapters** out, mnw_error* e);
int AdaptersSet(mnw_adapters* a, uint32_t slot, uint32_t site, uint32_t rank, const float* lora_a,
                const float* lora_b, float scale, mnw_error* e);
void AdaptersFree(mnw_adapters* a);
uint64_t AdaptersBytes(mnw_adapters* a);

}  // namespace minnow::cpu

struct mnw_adapters {
  mnw_context* context;
  uint32_t n_slots, max_rank;
  std::vector<minnow::cpu::Site> sites;    // ascending
  std::vector<minnow::cpu::Delta> deltas;  // [slot][site]

  // Position of a site of the graph in `sites`, sites.size() if it is none.
  size_t Find(uint32_t index) const;
  const minnow::cpu::Delta& delta(uint32_t slot, size_t site) const {
    return deltas[slot * sites.size() + site];
  }
};
