// What stands on a context: state, and a claimed graph with its weights and its plan, run in steps.
// Threads: one at a time per context.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "conformance/completion.h"
#include "conformance/sketch.h"
#include "conformance/subject.h"

namespace minnow::conformance {

struct Commit {
  uint32_t group;
  std::vector<int32_t> rows, slots;
};

// One step of a case: edits of pages, a run, rows made permanent.
struct Step {
  Symbols symbols{};
  Inputs inputs;
  std::vector<mnw_page_edit> edits;
  std::vector<Commit> commits;
};

using Outputs = std::vector<Bytes>;  // in order of value id

class State {
 public:
  // REQUIRES: `context` outlives the state.
  static Result<std::unique_ptr<State>> Make(const Context& context, const mnw_state_spec& spec);
  ~State();
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  mnw_state* get() const { return state_; }
  Status Edit(std::span<const mnw_page_edit> edits);
  Status Commit(std::span<const conformance::Commit> commits);
  Result<std::vector<float>> Export(uint32_t layer, uint32_t page);
  Status Import(uint32_t layer, uint32_t page, std::span<const float> values);

 private:
  State(const Context& context, const mnw_state_spec& spec);
  size_t PageFloats(uint32_t layer) const;
  const Subject& subject() const { return context_.subject(); }

  const Context& context_;
  const std::vector<mnw_state_layer> own_layers_;
  mnw_state_spec spec_;
  const Guarded groups_, layers_, guarded_spec_;
  mnw_state* state_ = nullptr;
};

// What a program is made of.
struct Material {
  const graph::Graph& graph;
  const std::map<mnw_id, Bytes>& weights;
  std::span<const SketchDelta> deltas;
};

class Program {
 public:
  // A sketch with a state of its own if it has any. REQUIRES (both): `context` claims the graph;
  // it and all that is handed over outlive the program.
  static Result<std::unique_ptr<Program>> Make(Context& context, const Sketch& sketch,
                                               const Symbols& max);
  // One of several on the same state, which may be null.
  static Result<std::unique_ptr<Program>> Make(Context& context, const Material& material,
                                               State* state, const Symbols& max);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  State& state() { return *state_; }  // REQUIRES: it has one
  Result<Outputs> Run(const Step& step);
  // Also looks on for a while after `done`, for what comes too late.
  Result<Outputs> RunAndLinger(const Step& step);

 private:
  Program(Context& context, const Material& material);
  Status LoadWeights();
  Status MakeAdapters();
  Status MakePlan(const Symbols& max);
  Result<Outputs> RunStep(const Step& step, bool linger);
  const Subject& subject() const { return context_.subject(); }
  const mnw_backend& table() const { return *subject().table; }

  Context& context_;
  const Material material_;
  HostGraph graph_;
  std::map<mnw_id, Guarded> sources_;
  std::vector<std::pair<mnw_id, mnw_weight>> weights_;
  std::unique_ptr<State> own_state_;
  State* state_ = nullptr;
  mnw_adapters* adapters_ = nullptr;
  mnw_plan* plan_ = nullptr;
  Completion completion_;
};

}  // namespace minnow::conformance
