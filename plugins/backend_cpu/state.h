// KV pages and recurrent blocks of one model.
//
// A layer's pages lie one after another; a page holds, for each key head, its keys and then its
// values in the layouts of kernels/vector.h, so that a head's part of a page is contiguous. Rows of
// the current step that have no slot are staged (as f32, already rounded to the page's type) until
// commit or the next step.
#pragma once

#include <vector>

#include "context.h"

struct mnw_state {
  struct Group {
    mnw_state_group spec;
    // Slot of each row of the current step, -1 for staged rows. Written by kv_write.
    std::vector<int32_t> slots;
  };
  struct Layer {
    mnw_state_layer spec;
    minnow::cpu::KvType type;
    size_t k_bytes, v_bytes;  // of one head in a page
    size_t page_bytes;
    minnow::cpu::Buffer pages;
    // Staged rows: [row][kv head][k_dim] and [v_dim]. As large as the largest step of any plan;
    // memory that no row ever touched is not there.
    minnow::cpu::Buffer staged_k, staged_v;
    float* StagedK(int64_t row, int64_t head) const {
      return reinterpret_cast<float*>(staged_k.data()) +
             (row * spec.n_kv_heads + head) * spec.k_dim;
    }
    float* StagedV(int64_t row, int64_t head) const {
      return reinterpret_cast<float*>(staged_v.data()) +
             (row * spec.n_kv_heads + head) * spec.v_dim;
    }
  };

  mnw_context* context;
  std::vector<Group> groups;
  std::vector<Layer> layers;

  std::byte* HeadK(const Layer& l, int64_t page, int64_t head) const {
    return l.pages.data() + static_cast<size_t>(page) * l.page_bytes +
           static_cast<size_t>(head) * (l.k_bytes + l.v_bytes);
  }
  std::byte* HeadV(const Layer& l, int64_t page, int64_t head) const {
    return HeadK(l, page, head) + l.k_bytes;
  }
};

namespace minnow::cpu {

// Rounds n values (k_dim or v_dim of one head and position) to the type of the cache.
void RoundToKv(KvType type, const float* x, int64_t n, float* out);
// Writes one position of one head.
void StoreK(KvType type, const float* k, int64_t k_dim, int64_t offset, std::byte* page);
void StoreV(KvType type, const float* v, int64_t v_dim, int64_t offset, std::byte* page);

uint64_t StateBytes(mnw_context* c, const mnw_state_spec* spec);
int StateCreate(mnw_context* c, const mnw_state_spec* spec, mnw_state** out, mnw_error* e);
void StateFree(mnw_state* s);
int StateEdit(mnw_state* s, const mnw_page_edit* edits, uint32_t n, mnw_error* e);
int StateCommit(mnw_state* s, uint32_t group, const int32_t* rows, const int32_t* slots, uint32_t n,
                mnw_error* e);
int StateExport(mnw_state* s, uint32_t layer, uint32_t page, float* out, mnw_error* e);
int StateImport(mnw_state* s, uint32_t layer, uint32_t page, const float* in, mnw_error* e);

}  // namespace minnow::cpu
