// SPDX-License-Identifier: MIT
// A backend that multiplies by weights and leaves all else to the other devices. It owns its
// weights: each is repacked once, after which the host lets go of the file's pages.
//
// The sums follow the recipe of Minnow's CPU backend (plugins/backend_cpu/NUMERICS.md): blocks in
// ascending order, one f32 accumulator per output, one FMA per block. So a model gives the same
// bits with this backend and without. Plain loops on one thread; a step is done when run() returns.
#include <minnow/abi/plugin.h>
#include <minnow/sdk/blocks.h>
#include <minnow/sdk/half.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <minnow/sdk/graph_view.hpp>
#include <minnow/sdk/plugin.hpp>
#include <vector>

using minnow::sdk::Fail;
using minnow::sdk::GraphView;
using minnow::sdk::Guard;

namespace {

constexpr int64_t kBlock = 32;  // elements along K that share a scale
constexpr int64_t kPanel = 16;  // outputs that are computed side by side

// A matrix whose outputs lie in panels of 16, filled up with zeros, so that inner loops run over
// neighbours. Q8_0 stays integers with a scale for each block, the float types become f32.
struct Matrix {
  int64_t k, panels;
  std::vector<float> f32;    // [panel][k][16]
  std::vector<int8_t> q;     // [panel][k][16]
  std::vector<float> scale;  // [panel][k / 32][16]
};

// What run() does for one node.
struct Step {
  const mnw_node* node;
  const Matrix* matrix;
  const float* bias;  // where the host has it, or null
};

}  // namespace

struct mnw_context {
  const mnw_host* host;
};

struct mnw_plan {
  GraphView graph;
  std::vector<Step> steps;
  std::vector<std::vector<float>> temporaries;
  std::vector<char*> data;  // by value id: temporaries from the beginning, the rest for each step
  std::vector<int8_t> q;    // one row of activations as integers
  std::vector<float> scale;
};

namespace {

const char* Refuse(const GraphView& g, const mnw_node& node) {
  if (node.op != MNW_OP_linear) return "matmul takes linear only";
  if (GraphView::HasIn(node, 3)) return "matmul has no adapters";
  const mnw_value &x = g.in(node, 0), &w = g.in(node, 1);
  if (w.kind != MNW_KIND_WEIGHT) return "matmul multiplies by whole weights only";
  if (x.stride[0] != sizeof(float)) return "elements of a row are not adjacent";
  if (GraphView::HasIn(node, 2)) {
    const mnw_value& bias = g.in(node, 2);
    if (bias.kind != MNW_KIND_WEIGHT || bias.type != MNW_TYPE_F32) return "a bias other than f32";
  }
  switch (w.type) {
    case MNW_TYPE_F32:
    case MNW_TYPE_F16:
    case MNW_TYPE_BF16:
    case MNW_TYPE_Q8_0:
      return nullptr;
  }
  return "matmul knows weights of F32, F16, BF16 and Q8_0 only";
}

int Claim(mnw_context*, const mnw_graph* graph, mnw_claim* out, mnw_error*) {
  const GraphView g(*graph);
  for (uint32_t i = 0; i < g.n_nodes(); ++i) {
    const char* reason = Refuse(g, g.node(i));
    out[i] = {reason ? 0 : i + 1, 0.0f, reason};  // each alone, without an estimate of its cost
  }
  return MNW_OK;
}

void PackQ8(const minnow::BlockQ8_0* blocks, int64_t n, Matrix& m) {
  const int64_t per_row = m.k / kBlock;
  m.q.resize(static_cast<size_t>(m.panels * m.k * kPanel));
  m.scale.resize(static_cast<size_t>(m.panels * per_row * kPanel));
  for (int64_t i = 0; i < n * per_row; ++i) {
    const int64_t row = i / per_row, at = row / kPanel * per_row + i % per_row, lane = row % kPanel;
    m.scale[static_cast<size_t>(at * kPanel + lane)] = minnow::F16ToF32(blocks[i].d);
    int8_t* q = &m.q[static_cast<size_t>(at * kBlock * kPanel + lane)];
    for (int64_t k = 0; k < kBlock; ++k) q[k * kPanel] = blocks[i].qs[k];
  }
}

void PackFloat(const mnw_host& host, int32_t type, const char* rows, int64_t n, Matrix& m) {
  const minnow::sdk::Block block = minnow::sdk::BlockOf(type);
  std::vector<float> row(static_cast<size_t>(m.k));
  m.f32.resize(static_cast<size_t>(m.panels * m.k * kPanel));
  for (int64_t i = 0; i < n; ++i) {
    host.to_f32(host.self, type, rows + i * m.k / block.elements * block.bytes, row.data(), m.k);
    float* out = &m.f32[static_cast<size_t>(i / kPanel * m.k * kPanel + i % kPanel)];
    for (int64_t k = 0; k < m.k; ++k) out[k * kPanel] = row[static_cast<size_t>(k)];
  }
}

// True if the value is the matrix of a linear; else it is a bias.
bool IsMatrix(const GraphView& g, mnw_id id) {
  for (uint32_t i = 0; i < g.n_nodes(); ++i) {
    if (g.node(i).in[1] == id) return true;
  }
  return false;
}

std::unique_ptr<Matrix> Pack(const mnw_host& host, const mnw_value& v, const void* data) {
  const int64_t n = v.dim[1];
  std::unique_ptr<Matrix> m(new Matrix{v.dim[0], (n + kPanel - 1) / kPanel, {}, {}, {}});
  if (v.type == MNW_TYPE_Q8_0) {
    PackQ8(static_cast<const minnow::BlockQ8_0*>(data), n, *m);
  } else {
    PackFloat(host, v.type, static_cast<const char*>(data), n, *m);
  }
  return m;
}

int LoadWeights(mnw_context* c, const mnw_graph* graph, const mnw_weight_source* sources,
                uint32_t n, uint32_t source_stride, mnw_weight* out, mnw_error*) {
  const GraphView g(*graph);
  std::vector<std::unique_ptr<Matrix>> matrices(
      n);  // all or nothing: the host frees none on failure
  for (uint32_t i = 0; i < n; ++i) {
    const auto& source = *reinterpret_cast<const mnw_weight_source*>(
        reinterpret_cast<const char*>(sources) + size_t{i} * source_stride);
    out[i] = {const_cast<void*>(source.data), 0, MNW_BORROWED, 0};
    if (!IsMatrix(g, source.value)) continue;
    matrices[i] = Pack(*c->host, g.value(source.value), source.data);
    const Matrix& m = *matrices[i];
    const size_t own = (m.f32.size() + m.scale.size()) * sizeof(float) + m.q.size();
    out[i] = {matrices[i].get(), own, MNW_OWNED, 0};
  }
  for (auto& m : matrices) m.release();  // to FreeWeights
  return MNW_OK;
}
void FreeWeights(mnw_context*, const mnw_weight* weights, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    if (weights[i].residency == MNW_OWNED) delete static_cast<Matrix*>(weights[i].handle);
  }
}

// Blocks of 32: scale = max|x| / 127, q = x * (127 / max|x|) rounded to the nearest, ties to even.
void Quantize(const float* x, int64_t k, int8_t* q, float* scale) {
  for (int64_t b = 0; b < k / kBlock; ++b, x += kBlock, q += kBlock) {
    float max = 0;
    bool finite = true;
    for (int64_t i = 0; i < kBlock; ++i) {
      max = std::max(max, std::fabs(x[i]));
      finite &= std::isfinite(x[i]);
    }
    const bool zero = !finite || max < 0x1p-100f;
    const float inverse = zero ? 0 : 127.0f / max;
    scale[b] = !finite ? NAN : zero ? 0 : max / 127.0f;
    for (int64_t i = 0; i < kBlock; ++i) {
      q[i] = zero ? int8_t{0} : static_cast<int8_t>(std::nearbyint(x[i] * inverse));
    }
  }
}

// Sixteen outputs of one row, which is x, or for Q8_0 the integers q with their scales.
void Multiply(const Matrix& w, int64_t panel, const float* x, const int8_t* q, const float* scale,
              float* acc) {
  std::fill_n(acc, kPanel, 0.0f);
  if (!w.f32.empty()) {
    const float* weights = &w.f32[static_cast<size_t>(panel * w.k * kPanel)];
    for (int64_t k = 0; k < w.k; ++k, weights += kPanel) {
      for (int64_t n = 0; n < kPanel; ++n) acc[n] = std::fma(weights[n], x[k], acc[n]);
    }
    return;
  }
  for (int64_t b = 0; b < w.k / kBlock; ++b) {
    const int8_t* weights = &w.q[static_cast<size_t>((panel * w.k + b * kBlock) * kPanel)];
    const float* d = &w.scale[static_cast<size_t>((panel * w.k / kBlock + b) * kPanel)];
    int32_t sum[kPanel] = {};
    for (int64_t k = 0; k < kBlock; ++k, weights += kPanel) {
      for (int64_t n = 0; n < kPanel; ++n) sum[n] += weights[n] * q[b * kBlock + k];
    }
    for (int64_t n = 0; n < kPanel; ++n) {
      acc[n] = std::fma(static_cast<float>(sum[n]), d[n] * scale[b], acc[n]);
    }
  }
}

int MakePlan(mnw_context*, const mnw_plan_request* r, mnw_plan** out, mnw_error*) {
  std::unique_ptr<mnw_plan> p(new mnw_plan{GraphView(*r->graph), {}, {}, {}, {}, {}});
  p->data.resize(p->graph.n_values());
  for (mnw_id id = 0; id < p->graph.n_values(); ++id) {
    const mnw_value& v = p->graph.value(id);
    if (v.kind != MNW_KIND_TEMP) continue;
    p->temporaries.emplace_back(static_cast<size_t>(minnow::sdk::Elements(v, r->max)));
    p->data[id] = reinterpret_cast<char*>(p->temporaries.back().data());
  }
  for (uint32_t i = 0; i < p->graph.n_nodes(); ++i) {
    const mnw_node& node = p->graph.node(i);
    const auto* matrix = static_cast<Matrix*>(r->weights[node.in[1]]);
    const void* bias = GraphView::HasIn(node, 2) ? r->weights[node.in[2]] : nullptr;
    p->steps.push_back({&node, matrix, static_cast<const float*>(bias)});
    p->q.resize(std::max(p->q.size(), static_cast<size_t>(matrix->k)));
  }
  p->scale.resize(p->q.size() / kBlock);
  *out = p.release();
  return MNW_OK;
}
void FreePlan(mnw_plan* p) { delete p; }

// Row i of a value, counted over all dims but the innermost.
float* RowOf(const mnw_plan& p, mnw_id id, const int64_t* dim, int64_t i) {
  const mnw_value& v = p.graph.value(id);
  char* at = p.data[p.graph.Base(id)] + (v.kind == MNW_KIND_VIEW ? v.view_offset : 0);
  for (int d = 1; d < 4; i /= dim[d++]) at += i % dim[d] * v.stride[d];
  return reinterpret_cast<float*>(at);
}

void RunStep(mnw_plan& p, const Step& step, minnow::sdk::Symbols symbols) {
  const mnw_value& y = p.graph.out(*step.node);
  int64_t dim[4];
  for (int d = 0; d < 4; ++d) dim[d] = minnow::sdk::Extent(y.dim[d], symbols);
  for (int64_t i = 0; i < dim[1] * dim[2] * dim[3]; ++i) {
    const float* x = RowOf(p, step.node->in[0], dim, i);
    float* out = RowOf(p, step.node->out[0], dim, i);
    const Matrix& m = *step.matrix;
    if (m.f32.empty()) Quantize(x, m.k, p.q.data(), p.scale.data());
    for (int64_t panel = 0; panel < m.panels; ++panel) {
      float acc[kPanel];
      Multiply(m, panel, x, p.q.data(), p.scale.data(), acc);
      const int64_t first = panel * kPanel, n = std::min(kPanel, dim[0] - first);
      for (int64_t j = 0; step.bias && j < n; ++j) acc[j] += step.bias[first + j];
      std::copy_n(acc, n, out + first);
    }
  }
}

int Run(mnw_plan* p, const mnw_run_args* args, mnw_error*) {
  for (uint32_t i = 0; i < args->n_bindings; ++i) {
    p->data[args->bindings[i].value] = static_cast<char*>(args->bindings[i].data);
  }
  for (const Step& step : p->steps) RunStep(*p, step, args->symbols);
  args->done(args->done_arg, MNW_OK, nullptr);
  return MNW_OK;
}

uint32_t DeviceCount() { return 1; }

int DeviceInfo(uint32_t, mnw_device_info* out, mnw_error*) {
  out->flags = MNW_DEVICE_HOST_MEMORY;
  out->id = "matmul";
  out->description = "multiplies by weights, on one thread";
  if (MNW_HAS(out, mnw_device_info, repeatability)) out->repeatability = 'B';
  return MNW_OK;
}

int Open(uint32_t device, const mnw_host* host, const mnw_context_options* options,
         mnw_context** out, mnw_error* e) {
  if (device != 0 || (MNW_HAS(options, mnw_context_options, config) && options->config)) {
    return Fail(e, MNW_INVALID, "matmul: there is one device, without settings");
  }
  *out = new mnw_context{host};
  return MNW_OK;
}
void Close(mnw_context* c) { delete c; }

constexpr mnw_backend kBackend = {.size = sizeof kBackend,
                                  .device_count = DeviceCount,
                                  .device_info = DeviceInfo,
                                  .open = Guard<&Open>::Call,
                                  .close = Close,
                                  .claim = Claim,
                                  .load_weights = Guard<&LoadWeights>::Call,
                                  .free_weights = FreeWeights,
                                  .plan = Guard<&MakePlan>::Call,
                                  .free_plan = FreePlan,
                                  .run = Run};
const mnw_backend* Backend(uint32_t) { return &kBackend; }

constexpr mnw_plugin kPlugin = {sizeof(mnw_plugin),
                                MNW_ABI_MAJOR,
                                MNW_ABI_MINOR,
                                "example.matmul",
                                "1.0",
                                "MIT",
                                Backend,
                                nullptr};

}  // namespace

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
