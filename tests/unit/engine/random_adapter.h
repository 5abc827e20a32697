// An adapter with a delta at every site of a graph, of many ranks.
#pragma once

#include <cmath>
#include <minnow/sdk/graph_view.hpp>
#include <random>
#include <vector>

#include "model/instance.h"

namespace minnow::test {

inline model::Adapter RandomAdapter(const model::Instance& instance, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](int64_t n, float scale) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = normal(rng) * scale;
    return values;
  };
  model::Adapter adapter;
  for (const mnw_node& node : instance.graph().nodes()) {
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t input) {
      const mnw_value& w = instance.graph().value(node.in[input]);
      const auto rank = static_cast<uint32_t>(1 + rng() % 20);
      const float scale = 1 / std::sqrt(static_cast<float>(w.dim[0]));
      adapter.deltas.push_back(
          {site, rank, 0.5f, fill(rank * w.dim[0], scale), fill(rank * w.dim[1], 0.3f)});
    });
  }
  return adapter;
}

}  // namespace minnow::test
