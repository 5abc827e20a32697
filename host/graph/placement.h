// The decisions of partition.h on one graph whose nodes stay as they are: who claims what, where
// each state lives, which node goes where. Threads: one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "graph/graph.h"
#include "graph/partition.h"

namespace minnow::graph {

using Claims = std::vector<std::vector<mnw_claim>>;  // by backend, then by node

// Asks every backend. Fails if one fails, or answers with a cost that is none.
Result<Claims> AskAll(const Graph& graph, std::span<const Claimer> backends);

struct Run {  // nodes [begin, end), all on one backend, as long as possible
  uint32_t begin, end;
  uint32_t backend;
};
std::vector<Run> FindRuns(std::span<const NodePlace> places);

// The first backend that claims the node, or MNW_NONE.
uint32_t FirstClaimer(const Claims& claims, uint32_t node);

class Placer {
 public:
  Placer(const Graph& graph, std::span<const Claimer> backends, const Claims& claims,
         const PartitionOptions& options);

  // Fills places() and homes().
  Status Place();

  std::vector<NodePlace>& places() { return places_; }
  std::vector<uint32_t>& homes() { return homes_; }

 private:
  bool Usable(uint32_t backend, uint32_t node) const;
  std::span<const uint32_t> Group(uint32_t backend, uint32_t node) const;
  Status FindHomes();
  bool MayTake(uint32_t backend, uint32_t node) const;
  // These two ban a group that cannot stay whole and return false: all must begin anew.
  bool TakeNodes();
  bool GroupsAreWhole();
  Status CheckPlaced() const;
  bool DropIsland();  // false if there is none
  bool CanMove(const Run& run, uint32_t to, uint32_t begin, uint32_t end) const;
  int CountCrossings(const Run& run, uint32_t other) const;
  std::string WhyNobody(std::span<const uint32_t> nodes) const;
  std::string WhyNotFirst(uint32_t node) const;

  const Graph& graph_;
  std::span<const Claimer> backends_;
  const Claims& claims_;
  const PartitionOptions& options_;
  std::vector<uint32_t> state_layer_;  // by node, MNW_NONE if it works on no state
  std::vector<uint32_t> producer_;     // by value, through views; MNW_NONE if no node makes it
  std::vector<std::map<uint32_t, std::vector<uint32_t>>> groups_;  // nodes, by backend and group
  std::set<std::pair<uint32_t, uint32_t>> banned_;  // backend and group that cannot stay whole
  std::vector<NodePlace> places_;
  std::vector<uint32_t> homes_;
};

}  // namespace minnow::graph
