#include "graph/partition.h"

#include <algorithm>
#include <optional>
#include <set>

#include "graph/decompose.h"
#include "graph/draft.h"
#include "graph/op_rules.h"
#include "graph/placement.h"
#include "graph/print.h"

namespace minnow::graph {
namespace {

// Values that pass between pieces of one fused node which go to different backends.
int CountPieceCopies(const Graph& graph, std::span<const uint32_t> pieces, const Claims& claims) {
  std::set<std::pair<mnw_id, uint32_t>> copies;  // value, reading backend
  for (uint32_t maker : pieces) {
    for (uint32_t reader : pieces) {
      const uint32_t to = FirstClaimer(claims, reader);
      if (reader <= maker || to == FirstClaimer(claims, maker)) continue;
      const mnw_node &from = graph.node(maker), &node = graph.node(reader);
      for (int i = 0; i < node.n_in; ++i) {
        if (node.in[i] == MNW_NONE) continue;
        const mnw_value& v = graph.value(node.in[i]);
        const mnw_id base = v.kind == MNW_KIND_VIEW ? v.view_of : node.in[i];
        if (std::find(from.out, from.out + from.n_out, base) != from.out + from.n_out) {
          copies.insert({base, to});
        }
      }
    }
  }
  return static_cast<int>(copies.size());
}

// What the pieces cost where they would go; nothing if nobody takes one of them.
std::optional<double> PiecesCost(const Graph& graph, std::span<const uint32_t> pieces,
                                 const Claims& claims, float boundary_cost) {
  double cost = 0;
  for (uint32_t i : pieces) {
    const uint32_t b = FirstClaimer(claims, i);
    if (b == MNW_NONE) return std::nullopt;
    cost += claims[b][i].cost;
  }
  return cost + static_cast<double>(boundary_cost) * CountPieceCopies(graph, pieces, claims);
}

// A graph with the claims on it.
struct Asked {
  Graph graph;
  Claims claims;
};

// Step 1 of the header: decides which fused nodes are decomposed.
Result<Asked> ChooseDecompositions(Graph graph, std::span<const Claimer> backends,
                                   float boundary_cost) {
  MNW_ASSIGN(Claims claims, AskAll(graph, backends));
  std::vector<uint8_t> refused(graph.nodes().size(), 0);
  for (uint32_t i = 0; i < refused.size(); ++i) {
    refused[i] = claims[0][i].group == 0 && FindOp(graph.node(i).op)->expand;
  }
  if (std::find(refused.begin(), refused.end(), 1) == refused.end()) {
    return Asked{std::move(graph), std::move(claims)};
  }

  MNW_ASSIGN(Decomposed all, Decompose(graph, refused));
  MNW_ASSIGN(Claims all_claims, AskAll(all.graph, backends));
  std::vector<std::vector<uint32_t>> pieces(refused.size());
  for (uint32_t i = 0; i < all.origin.size(); ++i) pieces[all.origin[i]].push_back(i);
  std::vector<uint8_t> kept = refused;
  for (uint32_t i = 0; i < kept.size(); ++i) {
    if (!kept[i]) continue;
    const auto cost = PiecesCost(all.graph, pieces[i], all_claims, boundary_cost);
    const uint32_t whole = FirstClaimer(claims, i);
    kept[i] = cost && (whole == MNW_NONE || *cost < claims[whole][i].cost);
  }
  if (kept == refused) return Asked{std::move(all.graph), std::move(all_claims)};
  if (std::find(kept.begin(), kept.end(), 1) == kept.end()) {
    return Asked{std::move(graph), std::move(claims)};
  }
  MNW_ASSIGN(Decomposed some, Decompose(graph, kept));
  MNW_ASSIGN(Claims some_claims, AskAll(some.graph, backends));
  return Asked{std::move(some.graph), std::move(some_claims)};
}

// Cuts runs of nodes out of a graph.
class Cutter {
 public:
  Cutter(const Graph& graph, std::span<const Run> runs)
      : graph_(graph),
        runs_(runs),
        maker_(graph.values().size(), MNW_NONE),
        crosses_(graph.values().size(), 0) {
    for (uint32_t r = 0; r < runs.size(); ++r) {
      for (uint32_t i = runs[r].begin; i < runs[r].end; ++i) {
        const mnw_node& node = graph.node(i);
        for (int j = 0; j < node.n_out; ++j) maker_[node.out[j]] = r;
      }
    }
    for (uint32_t r = 0; r < runs.size(); ++r) {
      ForEachRead(runs[r], [&](mnw_id id) {
        if (maker_[id] != MNW_NONE && maker_[id] != r) crosses_[id] = 1;
      });
    }
  }

  Partition Cut(uint32_t r) const {
    // A single run is the whole, with all its values.
    std::vector<uint8_t> used(graph_.values().size(), runs_.size() == 1);
    ForEachRead(runs_[r], [&](mnw_id id) { used[id] = 1; });
    for (mnw_id id = 0; id < used.size(); ++id) used[id] |= maker_[id] == r;

    Draft draft;
    draft.CopyModel(graph_);
    std::vector<mnw_id> ids(used.size(), MNW_NONE), whole;
    for (mnw_id id = 0; id < used.size(); ++id) {
      if (!used[id]) continue;
      ids[id] = draft.CopyValue(InRun(id, r, ids));
      whole.push_back(id);
    }
    for (uint32_t i = runs_[r].begin; i < runs_[r].end; ++i) {
      mnw_node node = graph_.node(i);
      for (int j = 0; j < node.n_in; ++j) {
        if (node.in[j] != MNW_NONE) node.in[j] = ids[node.in[j]];
      }
      for (int j = 0; j < node.n_out; ++j) node.out[j] = ids[node.out[j]];
      draft.CopyNode(node);
    }
    return {runs_[r].backend, draft.Finish(), std::move(whole)};
  }

 private:
  // Each value that a node of the run reads; for a view its base as well.
  template <class F>
  void ForEachRead(const Run& run, F&& f) const {
    for (uint32_t i = run.begin; i < run.end; ++i) {
      const mnw_node& node = graph_.node(i);
      for (int j = 0; j < node.n_in; ++j) {
        if (node.in[j] == MNW_NONE) continue;
        f(node.in[j]);
        const mnw_value& v = graph_.value(node.in[j]);
        if (v.kind == MNW_KIND_VIEW) f(v.view_of);
      }
    }
  }

  // A value as the graph of run r has it. Bases of views come before them in every draft.
  mnw_value InRun(mnw_id id, uint32_t r, std::span<const mnw_id> ids) const {
    mnw_value v = graph_.value(id);
    if (v.kind == MNW_KIND_VIEW) v.view_of = ids[v.view_of];
    if (v.kind != MNW_KIND_TEMP && v.kind != MNW_KIND_OUTPUT) return v;
    if (maker_[id] != r) {
      v.kind = MNW_KIND_INPUT;
      v.role = MNW_INPUT_BOUNDARY;
      v.index = 0;
      v.name = nullptr;
    } else if (crosses_[id]) {
      v.kind = MNW_KIND_OUTPUT;
    }
    return v;
  }

  const Graph& graph_;
  std::span<const Run> runs_;
  std::vector<uint32_t> maker_;   // run, by value
  std::vector<uint8_t> crosses_;  // by value: another run reads it
};

Status CheckStrict(const Placement& placement, std::span<const Claimer> backends) {
  uint32_t n = 0, first = 0;
  for (uint32_t i = 0; i < placement.nodes.size(); ++i) {
    if (placement.nodes[i].backend == 0) continue;
    if (n++ == 0) first = i;
  }
  if (n == 0) return {};
  return Error(Code::kUnsupported, "{} of {} nodes cannot run on {}; the first is node {}, {}: {}",
               n, placement.nodes.size(), backends[0].name, first,
               PrintNode(*placement.graph.view(), first), placement.nodes[first].reason);
}

}  // namespace

std::vector<mnw_state_layer> Placement::StateLayers(uint32_t backend) const {
  std::vector<mnw_state_layer> layers(graph.state_layers().begin(), graph.state_layers().end());
  for (uint32_t l = 0; l < layers.size(); ++l) {
    if (state_home[l] == backend) continue;
    layers[l].n_kv_heads = layers[l].k_dim = layers[l].v_dim = 0;
  }
  return layers;
}

Result<Placement> PartitionGraph(Graph graph, std::span<const Claimer> backends,
                                 const PartitionOptions& options) {
  MNW_ASSIGN(Asked asked, ChooseDecompositions(std::move(graph), backends, options.boundary_cost));
  Placer placer(asked.graph, backends, asked.claims, options.boundary_cost);
  MNW_TRY(placer.Place());
  Placement placement{
      std::move(asked.graph), std::move(placer.places()), {}, std::move(placer.homes())};
  if (options.strict) MNW_TRY(CheckStrict(placement, backends));
  const std::vector<Run> runs = FindRuns(placement.nodes);
  const Cutter cutter(placement.graph, runs);
  for (uint32_t r = 0; r < runs.size(); ++r) placement.partitions.push_back(cutter.Cut(r));
  return placement;
}

std::string PrintPlacement(const Placement& placement, std::span<const Claimer> backends) {
  std::string text;
  for (uint32_t i = 0; i < placement.nodes.size(); ++i) {
    const NodePlace& place = placement.nodes[i];
    text += fmt::format("{} -> {}", PrintNode(*placement.graph.view(), i),
                        backends[place.backend].name);
    if (!place.reason.empty()) text += " -> " + place.reason;
    text += '\n';
  }
  return text;
}

}  // namespace minnow::graph
