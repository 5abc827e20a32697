#include "adapters.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "minnow/sdk/graph_view.hpp"
#include "minnow/sdk/half.h"

namespace minnow::cpu {

namespace {

// Floats in the narrowest type that holds all of them exactly.
class ExactRows {
 public:
  ExactRows(const LinearKernels& kernels, const float* values, size_t n) {
    if (std::all_of(values, values + n, FitsBF16)) {
      kernel_ = &kernels.bf16;
      halves_.resize(n);
      std::transform(values, values + n, halves_.begin(), F32ToBF16);
    } else if (std::all_of(values, values + n, FitsF16)) {
      kernel_ = &kernels.f16;
      halves_.resize(n);
      std::transform(values, values + n, halves_.begin(), F32ToF16);
    } else {
      kernel_ = &kernels.f32;
    }
    const void* const data = halves_.empty() ? static_cast<const void*>(values) : halves_.data();
    rows_ = static_cast<const std::byte*>(data);
    element_ = halves_.empty() ? sizeof(float) : sizeof(uint16_t);
  }

  const LinearKernel& kernel() const { return *kernel_; }
  // Packs n rows of k values from `first` on, a panel after the other.
  void Pack(int64_t first, int64_t n, int64_t k, std::byte* out) const {
    const size_t row_bytes = static_cast<size_t>(k) * element_;
    const std::byte* rows = rows_ + static_cast<size_t>(first) * row_bytes;
    for (int64_t i = 0; i < n; i += kPanel, out += kernel_->panel_bytes(k)) {
      kernel_->pack(rows + static_cast<size_t>(i) * row_bytes, row_bytes, std::min(kPanel, n - i),
                    k, out);
    }
  }

 private:
  static bool FitsBF16(float x) { return (std::bit_cast<uint32_t>(x) & 0xffff) == 0; }
  static bool FitsF16(float x) {
    return std::bit_cast<uint32_t>(F16ToF32(F32ToF16(x))) == std::bit_cast<uint32_t>(x);
  }

  const LinearKernel* kernel_;
  std::vector<uint16_t> halves_;  // empty: they are f32
  const std::byte* rows_;
  size_t element_;
};

}  // namespace

int AdaptersCreate(mnw_context* c, const mnw_graph* g, uint32_t n_slots, uint32_t max_rank,
                   mnw_adapters** out, mnw_error* e) {
  if (n_slots == 0 || max_rank == 0) {
    return Fail(e, MNW_INVALID, "a pool of adapters needs a slot and a rank");
  }
  auto pool = std::make_unique<mnw_adapters>();
  pool->context = c;
  pool->n_slots = n_slots;
  pool->max_rank = max_rank;
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    const mnw_node& node = *mnw_node_at(g, i);
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t input) {
      const mnw_value& w = *mnw_value_at(g, node.in[input]);
      // Gate and up in one tensor are multiplied as two.
      const int64_t parts =
          node.op == MNW_OP_glu_ffn && input == 1 && node.in[2] == MNW_NONE ? 2 : 1;
      pool->sites.push_back({site, w.dim[0], w.dim[1] / parts, parts});
    });
  }
  const auto by_index = [](const Site& a, const Site& b) { return a.index < b.index; };
  std::sort(pool->sites.begin(), pool->sites.end(), by_index);
  pool->deltas.resize(n_slots * pool->sites.size());
  *out = pool.release();
  return MNW_OK;
}

int AdaptersSet(mnw_adapters* a, uint32_t slot, uint32_t site, uint32_t rank, const float* lora_a,
                const float* lora_b, float scale, mnw_error* e) {
  const size_t at = a->Find(site);
  if (slot >= a->n_slots || at == a->sites.size()) {
    return Fail(
        e, MNW_INVALID,
        "there is no slot " + std::to_string(slot) + " with a site " + std::to_string(site));
  }
  Delta& delta = a->deltas[slot * a->sites.size() + at];
  delta = Delta();
  if (rank == 0) return MNW_OK;
  if (rank > a->max_rank) {
    return Fail(
        e, MNW_INVALID,
        "rank " + std::to_string(rank) + " is above the pool's " + std::to_string(a->max_rank));
  }
  const Site& s = a->sites[at];
  // The factor once and for all, instead of at every row.
  std::vector<float> b(static_cast<size_t>(s.parts * s.n) * rank);
  std::transform(lora_b, lora_b + b.size(), b.begin(), [scale](float x) { return x * scale; });
  const LinearKernels& kernels = a->context->linear;
  const ExactRows rows_a(kernels, lora_a, static_cast<size_t>(s.k) * rank);
  const ExactRows rows_b(kernels, b.data(), b.size());
  Delta made;
  made.rank = rank;
  made.a_kernel = &rows_a.kernel();
  made.b_kernel = &rows_b.kernel();
  made.a_bytes =
      static_cast<size_t>((rank + kPanel - 1) / kPanel) * made.a_kernel->panel_bytes(s.k);
  made.b_panel_bytes = made.b_kernel->panel_bytes(rank);
  const size_t b_bytes = static_cast<size_t>(s.parts * s.panels()) * made.b_panel_bytes;
  if (!made.panels.Allocate(made.a_bytes + b_bytes)) {
    return Fail(e, MNW_OUT_OF_MEMORY, "no memory for an adapter", -1, made.a_bytes + b_bytes);
  }
  rows_a.Pack(0, rank, s.k, made.panels.data());
  std::byte* out = made.panels.data() + made.a_bytes;
  for (int64_t part = 0; part < s.parts; ++part) {
    rows_b.Pack(part * s.n, s.n, rank, out);
    out += static_cast<size_t>(s.panels()) * made.b_panel_bytes;
  }
  delta = std::move(made);
  return MNW_OK;
}

void AdaptersFree(mnw_adapters* a) { delete a; }

uint64_t AdaptersBytes(mnw_adapters* a) {
  uint64_t n = 0;
  for (const Delta& delta : a->deltas) n += delta.panels.size();
  return n;
}

}  // namespace minnow::cpu

size_t mnw_adapters::Find(uint32_t index) const {
  const auto it = std::find_if(sites.begin(), sites.end(),
                               [index](const minnow::cpu::Site& s) { return s.index == index; });
  return static_cast<size_t>(it - sites.begin());
}
