// Drives the CPU backend as a host does: through mnw_plugin_entry() and its C tables, with graphs
// that graph::Draft made and graph::Verify accepted. Failures of the harness fail the test.
#pragma once

#include <minnow/abi/plugin.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "graph/draft.h"

namespace minnow::cpu::test {

using graph::Dims;
using graph::Outs;

inline constexpr int64_t kTokens = MNW_DIM(MNW_SYM_N_TOKENS);
inline constexpr int64_t kSeqs = MNW_DIM(MNW_SYM_N_SEQS);
inline constexpr int64_t kOut = MNW_DIM(MNW_SYM_N_OUT);

using Symbols = std::array<int64_t, MNW_N_SYMBOLS>;

// What is bound to a value, and what comes back: words of 32 bits.
using Words = std::vector<uint32_t>;
Words ToWords(std::span<const float> v);
Words ToWords(std::span<const int32_t> v);
std::vector<float> ToFloats(const Words& w);
std::vector<int32_t> ToInts(const Words& w);

// Fails with `what` unless the bits are equal; any NaN equals any NaN.
void CheckSameBits(const Words& want, const Words& got, const std::string& what);
// |got - want| <= abs + rel * |want|, NaN only where NaN is wanted, infinities equal.
void CheckClose(std::span<const double> want, std::span<const float> got, double abs, double rel,
                const std::string& what);
// sum of squared errors / sum of squares.
double Nmse(std::span<const double> want, std::span<const float> got);

struct Random {
  std::mt19937 engine;
  explicit Random(uint32_t seed) : engine(seed) {}
  float Normal() { return std::normal_distribution<float>()(engine); }
  float Uniform(float lo, float hi) {
    return std::uniform_real_distribution<float>(lo, hi)(engine);
  }
  int Below(int n) { return static_cast<int>(engine() % static_cast<uint32_t>(n)); }
  std::vector<float> Normals(int64_t n, float scale = 1);
};

const mnw_backend& Backend();
const mnw_host& Host();

// Levels that this CPU can run, "ref" first; says which are skipped.
const std::vector<std::string>& Levels();

class Context {
 public:
  explicit Context(const std::string& isa = "", uint32_t n_threads = 1);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  mnw_context* get() const { return context_; }

 private:
  mnw_context* context_ = nullptr;
};

// A graph being written, with the bytes of its weights.
class Model {
 public:
  // Encodes the values as `type`.
  mnw_id Weight(mnw_type type, const Dims& dims, std::span<const float> values);
  mnw_id Vector(std::span<const float> values);  // F32
  mnw_id RandomWeight(mnw_type type, const Dims& dims, Random& random, float scale = 1);
  // Random bytes whose meaning is of an ordinary size: for types that are read and not written.
  mnw_id RandomBlocks(mnw_type type, const Dims& dims, Random& random);
  mnw_id Input(const Dims& dims, mnw_type type = MNW_TYPE_F32);  // made by another partition
  mnw_id StepInput(mnw_input role, uint32_t group = 0, int64_t n_pages = 0);
  uint32_t Group(mnw_state_kind kind, uint32_t n_pages, uint32_t window = 0);
  mnw_id State(uint32_t layer, uint32_t group, uint32_t heads, uint32_t k_dim, uint32_t v_dim,
               mnw_type type = MNW_TYPE_F32);
  mnw_id View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides,
              uint64_t offset = 0);
  mnw_id Reshape(mnw_id of, const Dims& dims, uint64_t offset = 0);

  template <class P>
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const P& params) {
    return Emit(op, in, &params, sizeof params);
  }
  mnw_id Emit(mnw_op op, std::initializer_list<mnw_id> in) { return Emit(op, in, nullptr, 0)[0]; }
  // Returns its place in what Program::Run gives.
  size_t Output(mnw_id value);
  void OutputAll(const Outs& values);  // those that the node has

  const graph::Graph& Finish();  // verified; once
  const graph::Graph& graph() const { return *graph_; }
  std::span<const std::byte> bytes(mnw_id weight) const { return bytes_.at(weight); }
  std::vector<float> values(mnw_id weight) const;  // decoded
  const mnw_state_spec& spec() const { return spec_; }

 private:
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params, uint32_t size);

  graph::Draft draft_;
  std::optional<graph::Graph> graph_;
  std::map<mnw_id, std::vector<std::byte>> bytes_;
  std::vector<mnw_id> outputs_;
  std::vector<uint32_t> n_pages_;       // by group
  std::map<uint32_t, mnw_type> types_;  // by layer
  std::vector<mnw_state_group> groups_;
  std::vector<mnw_state_layer> layers_;
  mnw_state_spec spec_{};
};

class State {
 public:
  State(const Context& c, const Model& m);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  mnw_state* get() const { return state_; }

  void Edit(const mnw_page_edit& edit);
  void Commit(uint32_t group, const std::vector<int32_t>& rows, const std::vector<int32_t>& slots);
  // The canonical form of a page of a layer.
  std::vector<float> Export(uint32_t layer, uint32_t page) const;
  void Import(uint32_t layer, uint32_t page, const std::vector<float>& values);

 private:
  const mnw_state_layer& layer(uint32_t i) const;
  const mnw_state_spec& spec_;
  mnw_state* state_ = nullptr;
};

// One matrix's part of an adapter.
struct TestDelta {
  uint32_t slot, site, rank;
  std::vector<float> a, b;
  float scale;
};

class Adapters {
 public:
  Adapters(const Context& c, const Model& m, uint32_t n_slots, uint32_t max_rank);
  ~Adapters();
  Adapters(const Adapters&) = delete;
  Adapters& operator=(const Adapters&) = delete;
  mnw_adapters* get() const { return adapters_; }

  void Set(const TestDelta& delta);
  int TrySet(const TestDelta& delta, std::string* message);

 private:
  mnw_adapters* adapters_ = nullptr;
};

using Inputs = std::map<mnw_id, Words>;

// A finished model whose nodes were all claimed, with weights loaded and a plan made. Weights that
// the backend calls OWNED lose their bytes at once, as the host's mapping would.
class Program {
 public:
  Program(const Context& c, const Model& m, const Symbols& max, const State* s = nullptr,
          const Adapters* a = nullptr);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Every bound buffer lies between guard words; inputs must come back as they were. Outputs in the
  // order of Model::Output.
  std::vector<Words> Run(const Symbols& symbols, const Inputs& inputs);
  // The code and message of a run with these bindings; for runs that must fail.
  int TryRun(const Symbols& symbols, std::span<const mnw_binding> bindings, std::string* message);
  const mnw_weight& weight(mnw_id id) const { return weights_.at(id); }

 private:
  const Model& model_;
  mnw_context* context_;
  std::map<mnw_id, std::vector<std::byte>> bytes_;
  std::map<mnw_id, mnw_weight> weights_;
  mnw_plan* plan_ = nullptr;
};

// Claims of all nodes; reasons as strings, empty where claimed.
std::vector<std::string> Refusals(const Context& c, const Model& m);

// Runs a finished model without state on every level, with one thread and with three; all bits must
// agree. Returns what ref gave. A pool of four slots of rank 64 holds the deltas.
std::vector<Words> RunEverywhere(const Model& m, const Symbols& symbols, const Inputs& inputs,
                                 std::span<const TestDelta> deltas = {});

}  // namespace minnow::cpu::test
