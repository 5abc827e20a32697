// Continuations of one prompt as the tree that a ScoreRequest wants: those with a common beginning
// share its nodes. Threads: a value.
#pragma once

#include <map>
#include <span>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

struct Continuations {
  std::vector<ScoreRequest::Node> nodes;
  std::vector<std::vector<size_t>> paths;  // the nodes of each, in order

  void Add(std::span<const TokenId> tokens) {
    int32_t parent = -1;
    std::vector<size_t> path;
    for (TokenId token : tokens) {
      const auto [it, fresh] = index_.try_emplace({parent, token}, nodes.size());
      if (fresh) nodes.push_back({parent, token});
      path.push_back(it->second);
      parent = static_cast<int32_t>(it->second);
    }
    paths.push_back(std::move(path));
  }

 private:
  std::map<std::pair<int32_t, TokenId>, size_t> index_;
};

}  // namespace minnow::engine
