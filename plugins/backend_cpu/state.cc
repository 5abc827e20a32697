#include "state.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "minnow/sdk/half.h"

namespace minnow::cpu {

namespace {

size_t KvBytes(KvType type, int64_t n) {
  switch (type) {
    case KvType::kF32:
      return static_cast<size_t>(n) * 4;
    case KvType::kF16:
      return static_cast<size_t>(n) * 2;
    case KvType::kQ8:
      return static_cast<size_t>(n) + static_cast<size_t>(n) / 32 * 4;
  }
  return 0;
}

size_t Align64(size_t n) { return (n + 63) / 64 * 64; }

bool ToKvType(int32_t type, KvType* out) {
  switch (type) {
    case MNW_TYPE_F32:
      *out = KvType::kF32;
      return true;
    case MNW_TYPE_F16:
      *out = KvType::kF16;
      return true;
    case MNW_TYPE_Q8_0:
      *out = KvType::kQ8;
      return true;
  }
  return false;
}

template <class T>
const T& At(const void* array, uint32_t stride, uint32_t i) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(array) +
                                     static_cast<size_t>(i) * stride);
}

// Sizes a layer; false if the spec is one this backend cannot keep.
bool SizeLayer(const mnw_state_spec* spec, uint32_t i, mnw_state::Layer* l) {
  l->spec = At<mnw_state_layer>(spec->layers, spec->layer_stride, i);
  if (l->spec.n_kv_heads == 0) return true;  // no state here
  if (l->spec.group >= spec->n_groups) return false;
  const auto& group = At<mnw_state_group>(spec->groups, spec->group_stride, l->spec.group);
  if (group.kind == MNW_STATE_RECURRENT) {
    l->page_bytes =
        Align64(size_t{l->spec.n_kv_heads} * l->spec.k_dim * l->spec.v_dim * sizeof(float));
    return true;
  }
  if (group.page_tokens != kPageTokens || !ToKvType(l->spec.type, &l->type)) return false;
  if (l->type == KvType::kQ8 && (l->spec.k_dim % 32 || l->spec.v_dim % 32)) return false;
  l->k_bytes = Align64(KvBytes(l->type, kPageTokens * l->spec.k_dim));
  l->v_bytes = Align64(KvBytes(l->type, kPageTokens * l->spec.v_dim));
  l->page_bytes = (l->k_bytes + l->v_bytes) * l->spec.n_kv_heads;
  return true;
}

// q8: one scale for each 32 values, m / 127 with m the largest magnitude; NaN if any value is not
// finite. Rounding what was rounded before changes nothing, so that rows staged and then committed,
// and pages exported and imported, have the bits of rows written at once: for every scale s that is
// a rounded m / 127, the rounded 127 s divided by 127 rounds to s.
float Q8Scale(const float* x) {
  float max = 0;
  for (int i = 0; i < 32; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
    max = std::max(max, std::fabs(x[i]));
  }
  return max / 127.0f;
}

int8_t Q8Round(float x, float scale) {
  return scale > 0 ? static_cast<int8_t>(std::nearbyint(std::clamp(x / scale, -127.0f, 127.0f)))
                   : int8_t{0};
}

// Element i of the n values goes to element index(i) of the page, its scale (q8) to scale_index(i /
// 32).
template <class Index, class ScaleIndex>
void StoreRow(KvType type, const float* x, int64_t n, std::byte* page, int64_t page_elements,
              Index index, ScaleIndex scale_index) {
  if (type == KvType::kF32) {
    float* out = reinterpret_cast<float*>(page);
    for (int64_t i = 0; i < n; ++i) out[index(i)] = x[i];
  } else if (type == KvType::kF16) {
    uint16_t* out = reinterpret_cast<uint16_t*>(page);
    for (int64_t i = 0; i < n; ++i) out[index(i)] = F32ToF16(x[i]);
  } else {
    int8_t* out = reinterpret_cast<int8_t*>(page);
    float* scales = reinterpret_cast<float*>(page + page_elements);
    for (int64_t b = 0; b < n / 32; ++b) {
      const float scale = Q8Scale(x + 32 * b);
      scales[scale_index(b)] = scale;
      for (int64_t i = 32 * b; i < 32 * b + 32; ++i) out[index(i)] = Q8Round(x[i], scale);
    }
  }
}

}  // namespace

void RoundToKv(KvType type, const float* x, int64_t n, float* out) {
  if (type == KvType::kF32) {
    std::copy_n(x, n, out);
  } else if (type == KvType::kF16) {
    for (int64_t i = 0; i < n; ++i) out[i] = F16ToF32(F32ToF16(x[i]));
  } else {
    for (int64_t b = 0; b < n; b += 32) {
      const float scale = Q8Scale(x + b);
      for (int64_t i = b; i < b + 32; ++i) {
        out[i] = static_cast<float>(Q8Round(x[i], scale)) * scale;
      }
    }
  }
}

void StoreK(KvType type, const float* k, int64_t k_dim, int64_t offset, std::byte* page) {
  StoreRow(
      type, k, k_dim, page, kPageTokens * k_dim,
      [=](int64_t i) { return i * kPageTokens + offset; },
      [=](int64_t b) { return b * kPageTokens + offset; });
}

void StoreV(KvType type, const float* v, int64_t v_dim, int64_t offset, std::byte* page) {
  StoreRow(
      type, v, v_dim, page, kPageTokens * v_dim, [=](int64_t i) { return offset * v_dim + i; },
      [=](int64_t b) { return offset * (v_dim / 32) + b; });
}

uint64_t StateBytes(mnw_context*, const mnw_state_spec* spec) {
  uint64_t total = 0;
  for (uint32_t i = 0; i < spec->n_layers; ++i) {
    mnw_state::Layer l{};
    if (!SizeLayer(spec, i, &l)) return 0;
    if (l.page_bytes == 0) continue;
    total +=
        l.page_bytes * At<mnw_state_group>(spec->groups, spec->group_stride, l.spec.group).n_pages;
  }
  return total;
}

int StateCreate(mnw_context* c, const mnw_state_spec* spec, mnw_state** out, mnw_error* e) {
  auto s = std::make_unique<mnw_state>();
  s->context = c;
  for (uint32_t i = 0; i < spec->n_groups; ++i) {
    s->groups.push_back({At<mnw_state_group>(spec->groups, spec->group_stride, i), {}});
  }
  for (uint32_t i = 0; i < spec->n_layers; ++i) {
    mnw_state::Layer& l = s->layers.emplace_back();
    if (!SizeLayer(spec, i, &l)) {
      return Fail(e, MNW_UNSUPPORTED,
                  "the cache needs pages of 32 positions in F32, F16 or Q8_0 (head sizes a "
                  "multiple of 32)");
    }
    if (l.page_bytes == 0) continue;
    const size_t bytes = l.page_bytes * s->groups[l.spec.group].spec.n_pages;
    if (!l.pages.Allocate(bytes)) {
      return Fail(e, MNW_OUT_OF_MEMORY, "no memory for the KV cache; ask for fewer cached tokens",
                  -1, StateBytes(c, spec));
    }
  }
  *out = s.release();
  return MNW_OK;
}

void StateFree(mnw_state* s) { delete s; }

int StateEdit(mnw_state* s, const mnw_page_edit* edits, uint32_t n, mnw_error* e) {
  for (uint32_t i = 0; i < n; ++i) {
    const mnw_page_edit& edit = edits[i];
    if (edit.group >= s->groups.size()) return Fail(e, MNW_INVALID, "no such state group");
    const auto n_pages = static_cast<int32_t>(s->groups[edit.group].spec.n_pages);
    if (edit.dst < 0 || edit.dst >= n_pages || edit.src >= n_pages) {
      return Fail(e, MNW_OUT_OF_RANGE, "page outside the state group");
    }
    for (auto& l : s->layers) {
      if (l.spec.group != edit.group || l.page_bytes == 0) continue;
      std::byte* dst = l.pages.data() + static_cast<size_t>(edit.dst) * l.page_bytes;
      if (edit.src < 0) {
        std::memset(dst, 0, l.page_bytes);
      } else {
        std::memcpy(dst, l.pages.data() + static_cast<size_t>(edit.src) * l.page_bytes,
                    l.page_bytes);
      }
    }
  }
  return MNW_OK;
}

int StateCommit(mnw_state* s, uint32_t group, const int32_t* rows, const int32_t* slots, uint32_t n,
                mnw_error* e) {
  if (group >= s->groups.size()) return Fail(e, MNW_INVALID, "no such state group");
  const auto& g = s->groups[group];
  for (uint32_t i = 0; i < n; ++i) {
    const bool staged =
        rows[i] >= 0 && static_cast<size_t>(rows[i]) < g.slots.size() && g.slots[rows[i]] < 0;
    if (!staged) return Fail(e, MNW_INVALID, "row was not staged by the last step");
    if (slots[i] < 0 || slots[i] >= static_cast<int64_t>(g.spec.n_pages) * kPageTokens) {
      return Fail(e, MNW_OUT_OF_RANGE, "slot outside the state group");
    }
  }
  for (auto& l : s->layers) {
    if (l.spec.group != group) continue;
    for (uint32_t i = 0; i < n; ++i) {
      for (uint32_t h = 0; h < l.spec.n_kv_heads; ++h) {
        const int64_t page = slots[i] / kPageTokens, offset = slots[i] % kPageTokens;
        StoreK(l.type, l.StagedK(rows[i], h), l.spec.k_dim, offset, s->HeadK(l, page, h));
        StoreV(l.type, l.StagedV(rows[i], h), l.spec.v_dim, offset, s->HeadV(l, page, h));
      }
    }
  }
  return MNW_OK;
}

namespace {

int CheckPage(mnw_state* s, uint32_t layer, uint32_t page, mnw_error* e) {
  if (layer >= s->layers.size() || s->layers[layer].page_bytes == 0) {
    return Fail(e, MNW_INVALID, "no such layer, or one without state");
  }
  const auto& group = s->groups[s->layers[layer].spec.group].spec;
  if (page >= group.n_pages) return Fail(e, MNW_OUT_OF_RANGE, "no such page");
  return MNW_OK;
}

// A recurrent block and its canonical form differ in the order of the two inner dims.
void Transpose(const float* in, int64_t rows, int64_t columns, float* out) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[j * rows + i] = in[i * columns + j];
  }
}

bool IsRecurrent(const mnw_state* s, const mnw_state::Layer& l) {
  return s->groups[l.spec.group].spec.kind == MNW_STATE_RECURRENT;
}

}  // namespace

int StateExport(mnw_state* s, uint32_t layer, uint32_t page, float* out, mnw_error* e) {
  if (const int code = CheckPage(s, layer, page, e); code != MNW_OK) return code;
  const auto& l = s->layers[layer];
  const int64_t heads = l.spec.n_kv_heads, dk = l.spec.k_dim, dv = l.spec.v_dim;
  if (IsRecurrent(s, l)) {
    const auto* block = reinterpret_cast<const float*>(l.pages.data() + page * l.page_bytes);
    for (int64_t h = 0; h < heads; ++h) Transpose(block + h * dk * dv, dk, dv, out + h * dk * dv);
    return MNW_OK;
  }
  std::vector<float> k(static_cast<size_t>(kPageTokens * dk)),
      v(static_cast<size_t>(kPageTokens * dv));
  float* values = out + kPageTokens * heads * dk;
  for (int64_t h = 0; h < heads; ++h) {
    s->context->vector.load_k(l.type, s->HeadK(l, page, h), dk, k.data());
    s->context->vector.load_v(l.type, s->HeadV(l, page, h), dv, v.data());
    for (int64_t t = 0; t < kPageTokens; ++t) {
      for (int64_t i = 0; i < dk; ++i)
        out[(t * heads + h) * dk + i] = k[static_cast<size_t>(i * kPageTokens + t)];
      std::copy_n(&v[static_cast<size_t>(t * dv)], dv, values + (t * heads + h) * dv);
    }
  }
  return MNW_OK;
}

int StateImport(mnw_state* s, uint32_t layer, uint32_t page, const float* in, mnw_error* e) {
  if (const int code = CheckPage(s, layer, page, e); code != MNW_OK) return code;
  const auto& l = s->layers[layer];
  const int64_t heads = l.spec.n_kv_heads, dk = l.spec.k_dim, dv = l.spec.v_dim;
  if (IsRecurrent(s, l)) {
    auto* block = reinterpret_cast<float*>(l.pages.data() + page * l.page_bytes);
    for (int64_t h = 0; h < heads; ++h) Transpose(in + h * dk * dv, dv, dk, block + h * dk * dv);
    return MNW_OK;
  }
  const float* values = in + kPageTokens * heads * dk;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t t = 0; t < kPageTokens; ++t) {
      StoreK(l.type, in + (t * heads + h) * dk, dk, t, s->HeadK(l, page, h));
      StoreV(l.type, values + (t * heads + h) * dv, dv, t, s->HeadV(l, page, h));
    }
  }
  return MNW_OK;
}

}  // namespace minnow::cpu
