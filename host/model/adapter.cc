#include "model/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <minnow/sdk/graph_view.hpp>
#include <set>

#include "formats/printable.h"
#include "model/adapter_file.h"
#include "model/hf_tensors.h"
#include "quant/quant.h"

namespace minnow::model {

namespace {

struct Site {
  uint32_t index;
  int64_t k, n;  // of the matrix
};

// By name of the matrix; those that are also read in another way, as a tied embedding is, have no
// site.
std::map<std::string_view, Site> SitesByName(const graph::Graph& graph) {
  std::map<std::string_view, Site> sites;
  std::set<mnw_id> at_sites, elsewhere;
  for (const mnw_node& node : graph.nodes()) {
    std::set<uint32_t> matrices;
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t input) {
      const mnw_value& w = graph.value(node.in[input]);
      sites[w.name] = {site, w.dim[0], w.dim[1]};
      matrices.insert(input);
      const bool first = at_sites.insert(node.in[input]).second;
      if (!first) elsewhere.insert(node.in[input]);
    });
    for (uint32_t i = 0; i < node.n_in; ++i) {
      if (node.in[i] == MNW_NONE || matrices.contains(i)) continue;
      elsewhere.insert(sdk::GraphView(*graph.view()).Base(node.in[i]));
    }
  }
  for (const mnw_id id : elsewhere) {
    if (at_sites.contains(id)) sites.erase(graph.value(id).name);
  }
  return sites;
}

std::string Quoted(std::string_view name) { return formats::Printable(name, 100); }

Result<std::vector<float>> Widen(const AdapterMatrix& m) {
  std::vector<float> values(static_cast<size_t>(m.ne[0] * m.ne[1]));
  if (Status s = quant::ToF32(m.type, m.bytes, values); !s.ok()) {
    return std::move(s).Annotate(fmt::format("tensor '{}'", Quoted(m.name)));
  }
  if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
    return Error(Code::kCorrupt, "tensor '{}' has values that are no numbers", Quoted(m.name));
  }
  return values;
}

Result<AdapterDelta> FitPair(const AdapterPair& pair, const Site& site, uint32_t max_rank,
                             float strength) {
  const int64_t rank = pair.a.ne[1];
  const auto is = [](const AdapterMatrix& m, int64_t k, int64_t n) {
    return m.ne == std::array<int64_t, 4>{k, n, 1, 1};
  };
  if (rank < 1 || !is(pair.a, site.k, rank) || !is(pair.b, rank, site.n)) {
    return Error(Code::kPrecondition,
                 "'{}' has lora_a [{}, {}] and lora_b [{}, {}], must be [{}, rank] and [rank, "
                 "{}]; is it for another base?",
                 Quoted(pair.matrix), pair.a.ne[0], pair.a.ne[1], pair.b.ne[0], pair.b.ne[1],
                 site.k, site.n);
  }
  if (rank > max_rank) {
    return Error(Code::kUnsupported, "'{}' has rank {}, at most {} is supported",
                 Quoted(pair.matrix), rank, max_rank);
  }
  AdapterDelta delta{
      site.index, static_cast<uint32_t>(rank), static_cast<float>(strength * pair.scale), {}, {}};
  MNW_ASSIGN(delta.a, Widen(pair.a));
  MNW_ASSIGN(delta.b, Widen(pair.b));
  if (pair.n_heads > 0) {
    const std::vector<float> halves = delta.b;
    PairRows(std::as_bytes(std::span(halves)).data(), site.n,
             rank * static_cast<int64_t>(sizeof(float)), pair.n_heads,
             std::as_writable_bytes(std::span(delta.b)).data());
  }
  return delta;
}

}  // namespace

Result<Adapter> FitAdapter(std::span<const AdapterPair> pairs, const AdapterTarget& target,
                           float strength) {
  const std::map<std::string_view, Site> sites = SitesByName(target.graph);
  if (sites.empty()) {
    return Error(Code::kUnsupported, "the model takes no adapters on the devices it runs on");
  }
  if (pairs.empty()) return Error(Code::kCorrupt, "it has no tensors");
  Adapter adapter;
  for (const AdapterPair& pair : pairs) {
    const bool no_a = pair.a.type == MNW_TYPE_NONE;
    if (no_a || pair.b.type == MNW_TYPE_NONE) {
      return Error(Code::kCorrupt, "'{}' has no {}", Quoted(pair.matrix),
                   no_a ? "lora_a" : "lora_b");
    }
    const auto found = sites.find(pair.matrix);
    if (found == sites.end()) {
      return Error(Code::kPrecondition,
                   "the model has no matrix '{}' that takes an adapter; is it for another base?",
                   Quoted(pair.matrix));
    }
    MNW_ASSIGN(AdapterDelta delta, FitPair(pair, found->second, target.max_rank, strength));
    adapter.deltas.push_back(std::move(delta));
  }
  return adapter;
}

Result<Adapter> Adapter::Load(const std::string& path, const AdapterTarget& target,
                              float strength) {
  if (!std::isfinite(strength)) {
    return Error(Code::kInvalid, "the scale of an adapter must be a number, not {}", strength);
  }
  const std::filesystem::path file(path);
  std::error_code ec;
  Result<Adapter> result = std::filesystem::is_directory(file, ec)
                               ? LoadPeftAdapter(path, target, strength)
                               : LoadGgufAdapter(path, target, strength);
  if (!result.ok()) {
    return std::move(result).status().Annotate(fmt::format("adapter '{}'", path));
  }
  return result;
}

}  // namespace minnow::model
