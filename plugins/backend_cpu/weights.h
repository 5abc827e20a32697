// Weights of the CPU backend: matrices repacked for the linear kernels, tables and vectors
// borrowed. So are matrices of types without a kernel, which are decoded whenever they are used.
#pragma once

#include <memory>
#include <vector>

#include "context.h"

namespace minnow::cpu {

// One weight of the graph. A matrix may consist of parts packed one after another: the experts of a
// mixture, or the gate and the up projection that share a tensor.
struct Weight {
  int32_t type = MNW_TYPE_NONE;
  int64_t k = 0;  // columns
  int64_t n = 0;  // rows of a part
  int64_t n_parts = 1;

  // A matrix, packed. Null kernel: no matrix, or of a type that has none.
  const LinearKernel* kernel = nullptr;
  Buffer packed;
  size_t panel_bytes = 0;

  // In the file's layout, borrowed. Null if packed or converted.
  const std::byte* canonical = nullptr;
  size_t row_bytes = 0;
  std::vector<float> f32;  // vectors of another type than F32, or of a packed tensor

  int64_t panels() const { return (n + kPanel - 1) / kPanel; }  // of a part
  const std::byte* panel(int64_t part, int64_t p) const {
    return packed.data() + static_cast<size_t>(part * panels() + p) * panel_bytes;
  }
  // All elements as f32, null unless some op reads them so.
  const float* vector() const {
    if (!f32.empty()) return f32.data();
    return type == MNW_TYPE_F32 ? reinterpret_cast<const float*>(canonical) : nullptr;
  }
  // Whether Multiply reads the quantized form of its input.
  bool quantized_input() const { return kernel && kernel->quantized_input; }
  // y[t*ldy + i] for rows t < n_rows of x and the outputs i of panels [p0,p1) of a part, counted
  // from panel p0. `ith`: the calling thread of the team, whose memory rows are decoded into.
  void Multiply(const mnw_context& c, int ith, int64_t part, int64_t p0, int64_t p1,
                const Activations& x, int64_t n_rows, float* y, int64_t ldy) const;
  // Row i of a table as f32.
  void Row(const mnw_host* host, int64_t i, float* out) const;
};

// True if input `input` of the node is a matrix that the linear kernels multiply by.
bool IsMatrixInput(const mnw_node& node, uint32_t input);

int LoadWeights(mnw_context* c, const mnw_graph* g, const mnw_weight_source* sources, uint32_t n,
                uint32_t source_stride, mnw_weight* out, mnw_error* e);
void FreeWeights(mnw_context* c, const mnw_weight* weights, uint32_t n);

}  // namespace minnow::cpu
