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

// A graph with the claims on it, and by node why it was not decomposed, "" where there is nothing
// to say.
struct Asked {
  Graph graph;
  Claims claims;
  std::vector<std::string> notes;
};

// Step 1 of the header for fused nodes that the first backend refused: decides by what their pieces
// would get.
class Decomposer {
 public:
  Decomposer(const Claims& claims, const Decomposed& all, const Claims& all_claims,
             const PartitionOptions& options)
      : claims_(claims), all_(all), all_claims_(all_claims), options_(options) {
    pieces_.resize(claims[0].size());
    for (uint32_t i = 0; i < all.origin.size(); ++i) pieces_[all.origin[i]].push_back(i);
  }

  // True if the node's pieces shall stand for it; else `note` may say why not.
  bool Keep(uint32_t node, std::string* note) const {
    const uint32_t whole = FirstClaimer(claims_, node);
    const auto cost = PiecesCost(all_.graph, pieces_[node], all_claims_, options_.boundary_cost);
    if (!cost || whole == MNW_NONE) return cost.has_value();
    const bool earlier = std::any_of(pieces_[node].begin(), pieces_[node].end(), [&](uint32_t i) {
      return FirstClaimer(all_claims_, i) < whole;
    });
    if (options_.all_claims || options_.strict) return earlier;
    if (*cost < claims_[whole][node].cost) return true;
    if (earlier) {
      *note = fmt::format("; its pieces would cost {:.3g}, the whole costs {:.3g}", *cost,
                          claims_[whole][node].cost);
    }
    return false;
  }

 private:
  const Claims& claims_;
  const Decomposed& all_;
  const Claims& all_claims_;
  const PartitionOptions& options_;
  std::vector<std::vector<uint32_t>> pieces_;  // nodes of all_, by node
};

Result<Asked> ChooseDecompositions(Graph graph, std::span<const Claimer> backends,
                                   const PartitionOptions& options) {
  MNW_ASSIGN(Claims claims, AskAll(graph, backends));
  std::vector<std::string> notes(graph.nodes().size());
  std::vector<uint8_t> kept(notes.size(), 0);
  for (uint32_t i = 0; i < kept.size(); ++i) {
    kept[i] = claims[0][i].group == 0 && FindOp(graph.node(i).op)->expand;
  }
  const auto none = [&] { return std::find(kept.begin(), kept.end(), 1) == kept.end(); };
  if (none()) return Asked{std::move(graph), std::move(claims), std::move(notes)};

  MNW_ASSIGN(const Decomposed all, Decompose(graph, kept));
  MNW_ASSIGN(const Claims all_claims, AskAll(all.graph, backends));
  const Decomposer decomposer(claims, all, all_claims, options);
  for (uint32_t i = 0; i < kept.size(); ++i) {
    if (kept[i]) kept[i] = decomposer.Keep(i, &notes[i]);
  }
  if (none()) return Asked{std::move(graph), std::move(claims), std::move(notes)};
  MNW_ASSIGN(Decomposed some, Decompose(graph, kept));
  MNW_ASSIGN(Claims some_claims, AskAll(some.graph, backends));
  std::vector<std::string> some_notes;
  for (const uint32_t origin : some.origin) some_notes.push_back(notes[origin]);
  return Asked{std::move(some.graph), std::move(some_claims), std::move(some_notes)};
}

// Cuts a graph whose nodes are dealt out to parts.
class Cutter {
 public:
  Cutter(const Graph& graph, std::vector<uint32_t> part_of)
      : graph_(graph),
        part_of_(std::move(part_of)),
        maker_(graph.values().size(), MNW_NONE),
        crosses_(graph.values().size(), 0) {
    for (uint32_t i = 0; i < part_of_.size(); ++i) {
      const mnw_node& node = graph.node(i);
      for (int j = 0; j < node.n_out; ++j) maker_[node.out[j]] = part_of_[i];
    }
    for (uint32_t i = 0; i < part_of_.size(); ++i) {
      ForEachRead(i, [&](mnw_id id) {
        if (maker_[id] != MNW_NONE && maker_[id] != part_of_[i]) crosses_[id] = 1;
      });
    }
  }

  Partition Cut(uint32_t part, uint32_t backend) const {
    // The only part is the whole, with all its values.
    const bool whole =
        std::all_of(part_of_.begin(), part_of_.end(), [part](uint32_t p) { return p == part; });
    std::vector<uint8_t> used(graph_.values().size(), whole);
    for (uint32_t i = 0; i < part_of_.size(); ++i) {
      if (part_of_[i] == part) ForEachRead(i, [&](mnw_id id) { used[id] = 1; });
    }
    for (mnw_id id = 0; id < used.size(); ++id) used[id] |= maker_[id] == part;

    Draft draft;
    draft.CopyModel(graph_);
    std::vector<mnw_id> ids(used.size(), MNW_NONE), whole_ids;
    for (mnw_id id = 0; id < used.size(); ++id) {
      if (!used[id]) continue;
      ids[id] = draft.CopyValue(InPart(id, part, ids));
      whole_ids.push_back(id);
    }
    for (uint32_t i = 0; i < part_of_.size(); ++i) {
      if (part_of_[i] != part) continue;
      mnw_node node = graph_.node(i);
      for (int j = 0; j < node.n_in; ++j) {
        if (node.in[j] != MNW_NONE) node.in[j] = ids[node.in[j]];
      }
      for (int j = 0; j < node.n_out; ++j) node.out[j] = ids[node.out[j]];
      draft.CopyNode(node);
    }
    return {backend, draft.Finish(), std::move(whole_ids)};
  }

 private:
  // Each value that node i reads; for a view its base as well.
  template <class F>
  void ForEachRead(uint32_t i, F&& f) const {
    const mnw_node& node = graph_.node(i);
    for (int j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE) continue;
      f(node.in[j]);
      const mnw_value& v = graph_.value(node.in[j]);
      if (v.kind == MNW_KIND_VIEW) f(v.view_of);
    }
  }

  // A value as the graph of the part has it. Bases of views come before them in every draft.
  mnw_value InPart(mnw_id id, uint32_t part, std::span<const mnw_id> ids) const {
    mnw_value v = graph_.value(id);
    if (v.kind == MNW_KIND_VIEW) v.view_of = ids[v.view_of];
    if (v.kind != MNW_KIND_TEMP && v.kind != MNW_KIND_OUTPUT) return v;
    if (maker_[id] != part) {
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
  const std::vector<uint32_t> part_of_;  // by node
  std::vector<uint32_t> maker_;          // part, by value
  std::vector<uint8_t> crosses_;         // by value: another part reads it
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
  MNW_ASSIGN(Asked asked, ChooseDecompositions(std::move(graph), backends, options));
  Placer placer(asked.graph, backends, asked.claims, options);
  MNW_TRY(placer.Place());
  Placement placement{
      std::move(asked.graph), std::move(placer.places()), {}, std::move(placer.homes())};
  for (uint32_t i = 0; i < placement.nodes.size(); ++i) {
    if (placement.nodes[i].backend != 0) placement.nodes[i].reason += asked.notes[i];
  }
  if (options.strict) MNW_TRY(CheckStrict(placement, backends));
  const std::vector<Run> runs = FindRuns(placement.nodes);
  std::vector<uint32_t> run_of;
  for (uint32_t r = 0; r < runs.size(); ++r) run_of.resize(runs[r].end, r);
  const Cutter cutter(placement.graph, std::move(run_of));
  for (uint32_t r = 0; r < runs.size(); ++r) {
    placement.partitions.push_back(cutter.Cut(r, runs[r].backend));
  }
  return placement;
}

Partition CutBackend(const Placement& placement, uint32_t backend) {
  std::vector<uint32_t> backend_of;
  for (const NodePlace& place : placement.nodes) backend_of.push_back(place.backend);
  return Cutter(placement.graph, std::move(backend_of)).Cut(backend, backend);
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
