// A LoRA adapter (arXiv:2106.09685): for matrices of a model, pairs of narrow ones whose product is
// added to them.
//
// Read from a GGUF file (general.type "adapter") or from a folder as PEFT writes it
// (adapter_config.json and adapter_model.safetensors), checked against the graph it is for, and
// widened to f32. Whatever does not fit is refused by name: another architecture, a tensor the
// graph has no site for, a shape or rank that is not the site's, one half of a pair, a number that
// is none. Threads: immutable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/graph.h"

namespace minnow::model {

// y += scale * b (a x) at a site of the graph.
struct AdapterDelta {
  uint32_t site;
  uint32_t rank;
  float scale;
  std::vector<float> a;  // [rank,K]
  std::vector<float> b;  // [N,rank]
};

// What an adapter must fit.
struct AdapterTarget {
  std::string_view architecture;
  const graph::Graph& graph;
  uint32_t max_rank;
};

struct Adapter {
  std::vector<AdapterDelta> deltas;  // at most one for a site

  // `strength` multiplies the scale that the file asks for.
  static Result<Adapter> Load(const std::string& path, const AdapterTarget& target,
                              float strength = 1);
};

}  // namespace minnow::model
