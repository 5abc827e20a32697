// A small graph with the bytes of its weights and of one step's inputs: what an op is checked on.
//
// Everything random comes from the seed, so that a case repeats. Mistakes in writing a sketch are
// kept and told by Finish. Threads: one at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "base/status.h"
#include "graph/draft.h"

namespace minnow::conformance {

using graph::Dims;
using graph::Outs;

inline constexpr int64_t kTokens = MNW_DIM(MNW_SYM_N_TOKENS);
inline constexpr int64_t kSeqs = MNW_DIM(MNW_SYM_N_SEQS);
inline constexpr int64_t kOut = MNW_DIM(MNW_SYM_N_OUT);
inline constexpr uint32_t kPageTokens = 32;

using Symbols = std::array<int64_t, MNW_N_SYMBOLS>;
using Bytes = std::vector<std::byte>;
using Inputs = std::map<mnw_id, Bytes>;

Bytes ToBytes(std::span<const float> values);
Bytes ToBytes(std::span<const int32_t> values);

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  float Normal() { return normal_(engine_); }
  float Uniform(float lo, float hi) {
    return std::uniform_real_distribution<float>(lo, hi)(engine_);
  }
  int32_t Below(int64_t n) { return static_cast<int32_t>(engine_() % static_cast<uint64_t>(n)); }
  std::vector<float> Normals(int64_t n, float scale = 1);

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<float> normal_;
};

// What a slot of the pool of adapters holds for a site.
struct SketchDelta {
  uint32_t slot, site, rank;
  std::vector<float> a, b;  // [rank,K], [N,rank]
};

class Sketch {
 public:
  Sketch(uint64_t seed, const Symbols& symbols) : random_(seed), symbols_(symbols) {}

  Random& random() { return random_; }
  int64_t tokens() const { return symbols_[MNW_SYM_N_TOKENS]; }
  const Symbols& symbols() const { return symbols_; }

  // Normal numbers unless values are given, encoded as `type`.
  mnw_id Weight(mnw_type type, const Dims& dims, float scale = 1);
  mnw_id WeightOf(mnw_type type, const Dims& dims, std::span<const float> values);
  // Made by another partition.
  mnw_id Input(const Dims& dims, float scale = 1);
  mnw_id InputOf(const Dims& dims, std::span<const float> values);
  mnw_id InputOf(const Dims& dims, std::span<const int32_t> values);
  // Of the step; without values where the steps of a case bring their own.
  mnw_id StepInput(mnw_input role, std::span<const int32_t> values, uint32_t group = 0,
                   int64_t n_pages = 0);

  uint32_t Group(mnw_state_kind kind, uint32_t n_pages, uint32_t window = 0);
  mnw_id State(uint32_t layer, uint32_t group, uint32_t heads, uint32_t k_dim, uint32_t v_dim,
               mnw_type type = MNW_TYPE_F32);

  // Random numbers; k and n are those of the site's matrix.
  void Delta(uint32_t slot, uint32_t site, uint32_t rank, int64_t k, int64_t n);

  mnw_id View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides,
              uint64_t offset = 0);
  mnw_id Reshape(mnw_id of, const Dims& dims);
  template <class P>
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const P& params) {
    return Emit(op, in, &params, sizeof params);
  }
  mnw_id Emit(mnw_op op, std::initializer_list<mnw_id> in) { return Emit(op, in, nullptr, 0)[0]; }
  void Output(mnw_id value);

  // Verifies the graph. Once, before what follows.
  Status Finish();

  const graph::Graph& graph() const { return *graph_; }
  const Inputs& inputs() const { return inputs_; }
  const std::map<mnw_id, Bytes>& weights() const { return weights_; }
  std::span<const SketchDelta> deltas() const { return deltas_; }
  bool has_state() const { return !layers_.empty(); }
  const mnw_state_spec& state_spec() const { return spec_; }
  std::span<const mnw_state_layer> state_layers() const { return layers_; }

 private:
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params, uint32_t size);
  mnw_id Keep(Result<mnw_id> id);
  mnw_id AddInput(const Dims& dims, mnw_type type, Bytes bytes);

  Random random_;
  Symbols symbols_;
  Status status_;
  graph::Draft draft_;
  std::optional<graph::Graph> graph_;
  std::map<mnw_id, Bytes> weights_;
  Inputs inputs_;
  int n_outputs_ = 0;
  std::vector<SketchDelta> deltas_;
  std::vector<uint32_t> n_pages_;       // by group
  std::map<uint32_t, mnw_type> types_;  // by layer
  std::vector<mnw_state_group> groups_;
  std::vector<mnw_state_layer> layers_;
  mnw_state_spec spec_{};
};

}  // namespace minnow::conformance
