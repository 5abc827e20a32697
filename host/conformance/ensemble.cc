#include "conformance/ensemble.h"

#include <algorithm>
#include <string_view>

#include "graph/decompose.h"

namespace minnow::conformance {

namespace {

graph::Claimer ClaimerOf(const char* name, const Context& context) {
  return {name, [&context](const mnw_graph* g, std::span<mnw_claim> out) -> Status {
            const HostGraph graph(*g, context.subject().age);
            MNW_ASSIGN(const std::vector<mnw_claim> claims, context.Claim(graph));
            std::copy(claims.begin(), claims.end(), out.begin());
            return Status();
          }};
}

}  // namespace

Result<std::unique_ptr<Ensemble>> Ensemble::Make(Context& subject, Context& reference,
                                                 const Sketch& sketch, const Symbols& max) {
  // A copy, since the placement keeps the graph.
  const std::vector<uint8_t> none(sketch.graph().nodes().size(), 0);
  MNW_ASSIGN(graph::Decomposed whole, graph::Decompose(sketch.graph(), none));
  const graph::Claimer claimers[] = {ClaimerOf("the plugin", subject),
                                     ClaimerOf("the reference", reference)};
  graph::PartitionOptions options;
  options.all_claims = true;
  MNW_ASSIGN(graph::Placement placement,
             graph::PartitionGraph(std::move(whole.graph), claimers, options));
  std::unique_ptr<Ensemble> e(new Ensemble(sketch, std::move(placement)));
  Context* const contexts[] = {&subject, &reference};
  for (uint32_t i = 0; i < 2; ++i) MNW_TRY(e->MakeState(i, *contexts[i]));
  e->parts_.reserve(e->placement_.partitions.size());
  for (const graph::Partition& p : e->placement_.partitions) {
    MNW_TRY(e->MakePart(p, *contexts[p.backend], max));
  }
  return e;
}

bool Ensemble::uses_subject() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& p) { return p.partition->backend == 0; });
}

Status Ensemble::MakeState(uint32_t backend, const Context& context) {
  std::vector<mnw_state_layer> layers = placement_.StateLayers(backend);
  bool home = false;
  for (size_t i = 0; i < layers.size(); ++i) {
    layers[i].type = sketch_.state_layers()[i].type;
    home = home || layers[i].n_kv_heads > 0;
  }
  if (!home) return Status();
  mnw_state_spec spec = sketch_.state_spec();
  spec.layers = layers.data();
  MNW_ASSIGN(states_[backend], State::Make(context, spec));
  return Status();
}

Status Ensemble::MakePart(const graph::Partition& partition, Context& context, const Symbols& max) {
  Part& part = parts_.emplace_back(Part{&partition, {}, nullptr});
  const graph::Graph& g = partition.graph;
  for (const mnw_id id : g.weights()) {
    for (const mnw_id mine : sketch_.graph().weights()) {
      const std::string_view name = sketch_.graph().value(mine).name;
      if (name == g.value(id).name) part.weights.emplace(id, sketch_.weights().at(mine));
    }
  }
  const Material material{g, part.weights, {}};
  MNW_ASSIGN(part.program, Program::Make(context, material, states_[partition.backend].get(), max));
  return Status();
}

Status Ensemble::RunPart(const Part& part, const Step& step) {
  const graph::Graph& g = part.partition->graph;
  Step mine{step.symbols, {}, {}, {}};
  for (const mnw_id id : g.inputs()) {
    const mnw_value& v = g.value(id);
    if (v.role == MNW_INPUT_BOUNDARY) {
      mine.inputs[id] = made_.at(part.partition->whole[id]);
    } else {
      const mnw_id input = sketch_.graph().Input(static_cast<mnw_input>(v.role), v.index);
      mine.inputs[id] = step.inputs.at(input);
    }
  }
  MNW_ASSIGN(Outputs outputs, part.program->Run(mine));
  for (size_t i = 0; i < outputs.size(); ++i) {
    made_[part.partition->whole[g.outputs()[i]]] = std::move(outputs[i]);
  }
  return Status();
}

Result<Outputs> Ensemble::Run(const Step& step) {
  made_.clear();
  for (const Part& part : parts_) MNW_TRY(RunPart(part, step));
  Outputs outputs;
  for (const mnw_id id : placement_.graph.outputs()) outputs.push_back(made_.at(id));
  return outputs;
}

}  // namespace minnow::conformance
