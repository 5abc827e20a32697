#include "weights.h"

#include <algorithm>

#include "minnow/sdk/graph_view.hpp"

namespace minnow::cpu {

bool IsMatrixInput(const mnw_node& node, uint32_t input) {
  switch (node.op) {
    case MNW_OP_linear:
    case MNW_OP_linear_id:
    case MNW_OP_lm_head:
      return input == 1;
    case MNW_OP_qkv:
      return input >= 1 && input <= 3;
    case MNW_OP_glu_ffn:
      return input >= 1 && input <= 3;
    case MNW_OP_moe_ffn:
      return input >= 1 && input <= 4;
  }
  return false;
}

namespace {

struct Uses {
  bool matrix = false;       // multiplied by: packed
  bool vector = false;       // read as f32, element by element
  bool gate_and_up = false;  // one tensor holds both
};

Uses FindUses(const mnw_graph* g, mnw_id value) {
  Uses uses;
  for (uint32_t i = 0; i < g->n_nodes; ++i) {
    const mnw_node& node = *mnw_node_at(g, i);
    for (uint32_t j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE || sdk::GraphView(*g).Base(node.in[j]) != value) continue;
      const bool matrix = IsMatrixInput(node, j);
      uses.matrix |= matrix;
      uses.vector |= !matrix && node.op != MNW_OP_get_rows;
      uses.gate_and_up |= node.op == MNW_OP_glu_ffn && j == 1 && node.in[2] == MNW_NONE;
    }
  }
  return uses;
}

bool Pack(mnw_context* c, const Weight& w, const std::byte* rows) {
  const int64_t per_part = w.panels();
  c->team.Run([&](int ith) {
    const int64_t n = per_part * w.n_parts, nth = c->team.size();
    for (int64_t i = n * ith / nth; i < n * (ith + 1) / nth; ++i) {
      const int64_t part = i / per_part, first = i % per_part * kPanel;
      w.kernel->pack(rows + static_cast<size_t>(part * w.n + first) * w.row_bytes, w.row_bytes,
                     std::min(kPanel, w.n - first), w.k,
                     w.packed.data() + static_cast<size_t>(i) * w.panel_bytes);
    }
  });
  return true;
}

int LoadOne(mnw_context* c, const mnw_graph* g, const mnw_weight_source& source, mnw_weight* out,
            mnw_error* e) {
  const mnw_value& v = *mnw_value_at(g, source.value);
  const sdk::Block block = sdk::BlockOf(v.type);
  const Uses uses = FindUses(g, source.value);
  auto w = std::make_unique<Weight>();
  w->type = v.type;
  w->k = v.dim[0];
  w->n = v.dim[1];
  w->n_parts = v.dim[2] * v.dim[3];
  if (block.elements == 0 || w->k % block.elements != 0) {
    return Fail(e, MNW_UNSUPPORTED,
                std::string("weight ") + v.name + " has a type this backend lacks");
  }
  w->row_bytes = static_cast<size_t>(w->k / block.elements * block.bytes);
  if (source.n_bytes < w->row_bytes * static_cast<size_t>(w->n * w->n_parts)) {
    return Fail(e, MNW_INVALID,
                std::string("weight ") + v.name + " has fewer bytes than its shape");
  }
  const std::byte* data = static_cast<const std::byte*>(source.data);
  const int64_t elements = w->k * w->n * w->n_parts;

  if (uses.matrix) {
    if (uses.gate_and_up) {
      w->n /= 2;
      w->n_parts = 2;
    }
    w->kernel = c->linear.Find(w->type);
  }
  if (w->kernel) {
    w->panel_bytes = w->kernel->panel_bytes(w->k);
    const size_t bytes = w->panel_bytes * static_cast<size_t>(w->panels() * w->n_parts);
    if (!w->packed.Allocate(bytes)) {
      return Fail(e, MNW_OUT_OF_MEMORY, std::string("no memory to pack weight ") + v.name, -1,
                  bytes);
    }
    Pack(c, *w, data);
  } else if (uses.matrix && !c->ReserveDecoded(w->k)) {
    return Fail(e, MNW_OUT_OF_MEMORY, std::string("no memory to decode weight ") + v.name);
  }
  if (uses.vector && (w->kernel || w->type != MNW_TYPE_F32)) {
    w->f32.resize(static_cast<size_t>(elements));
    if (c->host->to_f32(c->host->self, w->type, data, w->f32.data(), elements) != MNW_OK) {
      return Fail(e, MNW_UNSUPPORTED, std::string("cannot convert weight ") + v.name);
    }
  }
  if (!w->kernel && (uses.matrix || w->f32.empty())) w->canonical = data;
  const uint64_t own = w->packed.size() + w->f32.size() * sizeof(float);
  const uint32_t residency = w->canonical ? MNW_BORROWED : MNW_OWNED;
  *out = {w.release(), own, residency, 0};  // freed by FreeWeights
  return MNW_OK;
}

}  // namespace

void Weight::Multiply(const mnw_context& c, int ith, int64_t part, int64_t p0, int64_t p1,
                      const Activations& x, int64_t n_rows, float* y, int64_t ldy) const {
  if (kernel) {
    return kernel->multiply(panel(part, p0), k, x, 0, n_rows, 0, p1 - p0, n - p0 * kPanel, y, ldy);
  }
  const DecodedPanel& memory = c.decoded[static_cast<size_t>(ith)];
  float* rows = reinterpret_cast<float*>(memory.rows.data());
  for (int64_t p = p0; p < p1; ++p, y += kPanel) {
    const int64_t first = p * kPanel, n_here = std::min(kPanel, n - first);
    for (int64_t i = 0; i < n_here; ++i) Row(c.host, part * n + first + i, rows + i * k);
    c.linear.f32.pack(rows, static_cast<size_t>(k) * sizeof(float), n_here, k, memory.panel.data());
    c.linear.f32.multiply(memory.panel.data(), k, x, 0, n_rows, 0, 1, n_here, y, ldy);
  }
}

void Weight::Row(const mnw_host* host, int64_t i, float* out) const {
  if (canonical) {
    host->to_f32(host->self, type, canonical + static_cast<size_t>(i) * row_bytes, out, k);
  } else if (kernel) {
    const int64_t part = i / n, row = i % n;
    kernel->unpack_row(panel(part, row / kPanel), row % kPanel, k, out);
  } else {
    std::copy_n(&f32[static_cast<size_t>(i * k)], k, out);
  }
}

int LoadWeights(mnw_context* c, const mnw_graph* g, const mnw_weight_source* sources, uint32_t n,
                uint32_t source_stride, mnw_weight* out, mnw_error* e) {
  for (uint32_t i = 0; i < n; ++i) {
    const auto* source = reinterpret_cast<const mnw_weight_source*>(
        reinterpret_cast<const char*>(sources) + static_cast<size_t>(i) * source_stride);
    if (const int code = LoadOne(c, g, *source, &out[i], e); code != MNW_OK) {
      FreeWeights(c, out, i);
      return code;
    }
  }
  return MNW_OK;
}

void FreeWeights(mnw_context*, const mnw_weight* weights, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) delete static_cast<Weight*>(weights[i].handle);
}

}  // namespace minnow::cpu
