#include "graph/placement.h"

#include <algorithm>
#include <cmath>

#include "graph/print.h"

namespace minnow::graph {
namespace {

const char* Reason(const mnw_claim& claim) {
  return claim.reason ? claim.reason : "no reason given";
}

}  // namespace

Result<Claims> AskAll(const Graph& graph, std::span<const Claimer> backends) {
  Claims claims;
  for (const Claimer& backend : backends) {
    claims.emplace_back(graph.nodes().size(), mnw_claim{});
    if (Status s = backend.claim(graph.view(), claims.back()); !s.ok()) {
      return std::move(s).Annotate(backend.name);
    }
    for (uint32_t i = 0; i < claims.back().size(); ++i) {
      const mnw_claim& claim = claims.back()[i];
      if (claim.group != 0 && !(std::isfinite(claim.cost) && claim.cost >= 0)) {
        return Error(Code::kInternal, "{}: claims node {} at a cost of {}", backend.name, i,
                     claim.cost);
      }
    }
  }
  return claims;
}

std::vector<Run> FindRuns(std::span<const NodePlace> places) {
  std::vector<Run> runs;
  for (uint32_t i = 0; i < places.size(); ++i) {
    if (runs.empty() || runs.back().backend != places[i].backend) {
      runs.push_back({i, i, places[i].backend});
    }
    runs.back().end = i + 1;
  }
  return runs;
}

uint32_t FirstClaimer(const Claims& claims, uint32_t node) {
  for (uint32_t b = 0; b < claims.size(); ++b) {
    if (claims[b][node].group != 0) return b;
  }
  return MNW_NONE;
}

Placer::Placer(const Graph& graph, std::span<const Claimer> backends, const Claims& claims,
               const PartitionOptions& options)
    : graph_(graph),
      backends_(backends),
      claims_(claims),
      options_(options),
      state_layer_(graph.nodes().size(), MNW_NONE),
      producer_(graph.values().size(), MNW_NONE),
      groups_(backends.size()) {
  for (uint32_t i = 0; i < graph.nodes().size(); ++i) {
    const mnw_node& node = graph.node(i);
    for (int j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE) continue;
      const mnw_value& v = graph.value(node.in[j]);
      if (v.kind == MNW_KIND_STATE) state_layer_[i] = v.index;
      if (v.kind == MNW_KIND_VIEW) producer_[node.in[j]] = producer_[v.view_of];
    }
    for (int j = 0; j < node.n_out; ++j) {
      // State stays where it is: it never crosses.
      if (graph.value(node.out[j]).kind != MNW_KIND_STATE) producer_[node.out[j]] = i;
    }
    for (uint32_t b = 0; b < claims.size(); ++b) {
      if (claims[b][i].group != 0) groups_[b][claims[b][i].group].push_back(i);
    }
  }
}

bool Placer::Usable(uint32_t backend, uint32_t node) const {
  const uint32_t group = claims_[backend][node].group;
  return group != 0 && !banned_.contains({backend, group});
}

std::span<const uint32_t> Placer::Group(uint32_t backend, uint32_t node) const {
  return groups_[backend].at(claims_[backend][node].group);
}

std::string Placer::WhyNobody(std::span<const uint32_t> nodes) const {
  std::string text;
  for (uint32_t b = 0; b < backends_.size(); ++b) {
    for (uint32_t i : nodes) {
      if (Usable(b, i)) continue;
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", backends_[b].name,
                          claims_[b][i].group == 0 ? Reason(claims_[b][i])
                                                   : "another backend has part of its claim group");
      if (nodes.size() > 1) text += fmt::format(" (node {})", i);
      break;
    }
  }
  return text;
}

Status Placer::FindHomes() {
  std::map<uint32_t, std::vector<uint32_t>> by_layer;
  for (uint32_t i = 0; i < state_layer_.size(); ++i) {
    if (state_layer_[i] != MNW_NONE) by_layer[state_layer_[i]].push_back(i);
  }
  homes_.assign(graph_.state_layers().size(), MNW_NONE);
  for (const auto& [layer, nodes] : by_layer) {
    for (uint32_t b = 0; b < backends_.size() && homes_[layer] == MNW_NONE; ++b) {
      if (std::all_of(nodes.begin(), nodes.end(), [&](uint32_t i) { return Usable(b, i); })) {
        homes_[layer] = b;
      }
    }
    if (homes_[layer] == MNW_NONE) {
      return Error(
          Code::kUnsupported,
          "no backend takes all work on the state of layer {}, which cannot be divided: {}", layer,
          WhyNobody(nodes));
    }
  }
  return {};
}

bool Placer::MayTake(uint32_t backend, uint32_t node) const {
  return places_[node].backend == MNW_NONE &&
         (state_layer_[node] == MNW_NONE || homes_[state_layer_[node]] == backend);
}

bool Placer::TakeNodes() {
  places_.assign(graph_.nodes().size(), {MNW_NONE, ""});
  for (uint32_t b = 0; b < backends_.size(); ++b) {
    for (uint32_t i = 0; i < places_.size(); ++i) {
      if (!Usable(b, i) || !MayTake(b, i)) continue;
      const auto group = Group(b, i);
      if (!std::all_of(group.begin(), group.end(), [&](uint32_t j) { return MayTake(b, j); })) {
        banned_.insert({b, claims_[b][i].group});
        return false;
      }
      for (uint32_t j : group) places_[j].backend = b;
    }
  }
  return true;
}

bool Placer::GroupsAreWhole() {
  for (const Run& run : FindRuns(places_)) {
    if (run.backend == MNW_NONE) continue;
    for (uint32_t i = run.begin; i < run.end; ++i) {
      const auto group = Group(run.backend, i);
      if (group.front() >= run.begin && group.back() < run.end) continue;
      banned_.insert({run.backend, claims_[run.backend][i].group});
      return false;
    }
  }
  return true;
}

Status Placer::CheckPlaced() const {
  for (uint32_t i = 0; i < places_.size(); ++i) {
    if (places_[i].backend != MNW_NONE) continue;
    return Error(Code::kUnsupported, "no backend takes node {}, {}: {}", i,
                 PrintNode(*graph_.view(), i), WhyNobody({&i, 1}));
  }
  return {};
}

// Values that pass between the run and nodes on `other`, each once per direction.
int Placer::CountCrossings(const Run& run, uint32_t other) const {
  std::set<std::pair<mnw_id, bool>> crossing;  // base value, leaves the run
  for (uint32_t i = 0; i < places_.size(); ++i) {
    const mnw_node& node = graph_.node(i);
    for (int j = 0; j < node.n_in; ++j) {
      if (node.in[j] == MNW_NONE || producer_[node.in[j]] == MNW_NONE) continue;
      const uint32_t from = producer_[node.in[j]];
      const bool reader_inside = i >= run.begin && i < run.end;
      const bool maker_inside = from >= run.begin && from < run.end;
      if (reader_inside == maker_inside) continue;
      if (places_[maker_inside ? i : from].backend != other) continue;
      const mnw_value& v = graph_.value(node.in[j]);
      crossing.insert({v.kind == MNW_KIND_VIEW ? v.view_of : node.in[j], maker_inside});
    }
  }
  return static_cast<int>(crossing.size());
}

// [begin, end) will be one run of `to`.
bool Placer::CanMove(const Run& run, uint32_t to, uint32_t begin, uint32_t end) const {
  for (uint32_t i = run.begin; i < run.end; ++i) {
    if (state_layer_[i] != MNW_NONE || !Usable(to, i)) return false;
    const auto group = Group(to, i);
    if (group.front() < begin || group.back() >= end) return false;
  }
  return true;
}

bool Placer::DropIsland() {
  const std::vector<Run> runs = FindRuns(places_);
  for (size_t r = 1; r + 1 < runs.size(); ++r) {
    const Run &before = runs[r - 1], &run = runs[r], &after = runs[r + 1];
    const uint32_t to = before.backend;
    if (after.backend != to || !CanMove(run, to, before.begin, after.end)) continue;
    double saved = 0;
    for (uint32_t i = run.begin; i < run.end; ++i) {
      saved += static_cast<double>(claims_[to][i].cost) - claims_[run.backend][i].cost;
    }
    const int crossings = CountCrossings(run, to);
    if (saved > static_cast<double>(options_.boundary_cost) * crossings) continue;
    for (uint32_t i = run.begin; i < run.end; ++i) {
      places_[i] = {to,
                    fmt::format("{} would save {:.3g}, less than {} copies between backends cost",
                                backends_[run.backend].name, saved, crossings)};
    }
    return true;
  }
  return false;
}

std::string Placer::WhyNotFirst(uint32_t node) const {
  const mnw_claim& claim = claims_[0][node];
  if (claim.group == 0) return Reason(claim);
  if (!Usable(0, node)) return "another backend has part of its claim group";
  return fmt::format("the state of layer {} is on {}", state_layer_[node],
                     backends_[places_[node].backend].name);
}

Status Placer::Place() {
  // Each round that begins anew has banned one more group.
  do {
    MNW_TRY(FindHomes());
  } while (!TakeNodes() || !GroupsAreWhole());
  MNW_TRY(CheckPlaced());
  while (!options_.all_claims && !options_.strict && DropIsland()) {
  }
  for (uint32_t i = 0; i < places_.size(); ++i) {
    if (places_[i].backend == 0) {
      places_[i].reason.clear();
    } else if (places_[i].reason.empty()) {
      places_[i].reason = WhyNotFirst(i);
    }
  }
  return {};
}

}  // namespace minnow::graph
