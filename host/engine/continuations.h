// Continuations of one prompt as the tree that a ScoreRequest wants: those with a common beginning
// share its nodes. What leads to one, and is not scored, may be part of the tree too. Threads: a
// value.
#pragma once

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

struct Continuations {
  std::vector<ScoreRequest::Node> nodes;
  std::vector<std::vector<size_t>> paths;  // the nodes of each that are scored, in order

  void Add(std::span<const TokenId> tokens, std::span<const TokenId> before = {}) {
    int32_t parent = -1;
    for (const TokenId token : before) parent = Node(parent, token, false);
    std::vector<size_t> path;
    for (const TokenId token : tokens) {
      parent = Node(parent, token, true);
      path.push_back(static_cast<size_t>(parent));
    }
    paths.push_back(std::move(path));
  }

 private:
  int32_t Node(int32_t parent, TokenId token, bool scored) {
    const auto [it, fresh] = index_.try_emplace({parent, token}, nodes.size());
    if (fresh) nodes.push_back({parent, token, false});
    nodes[it->second].scored |= scored;
    return static_cast<int32_t>(it->second);
  }

  std::map<std::pair<int32_t, TokenId>, size_t> index_;
};

}  // namespace minnow::engine
