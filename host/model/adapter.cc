#include "model/adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <minnow/sdk/graph_view.hpp>
#include <optional>
#include <set>

#include "formats/gguf.h"
#include "formats/printable.h"
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

class Reader {
 public:
  Reader(const formats::GgufReader& file, const AdapterTarget& target, float strength)
      : file_(file), target_(target), strength_(strength), sites_(SitesByName(target.graph)) {}

  Result<Adapter> Read() {
    MNW_TRY(CheckKind());
    MNW_TRY(ReadAlpha());
    MNW_TRY(CollectPairs());
    Adapter adapter;
    for (const auto& [name, pair] : pairs_) {
      MNW_ASSIGN(AdapterDelta delta, ReadPair(name, pair));
      adapter.deltas.push_back(std::move(delta));
    }
    return adapter;
  }

 private:
  struct Pair {
    const formats::GgufTensor *a = nullptr, *b = nullptr;
  };

  Status CheckKind() const {
    const auto expect = [this](const char* key, std::string_view want, Code code) -> Status {
      MNW_ASSIGN(const auto found, file_.FindString(key));
      if (!found) return Error(Code::kCorrupt, "it has no '{}': is it an adapter?", key);
      if (*found == want) return Status();
      return Error(code, "'{}' is '{}', must be '{}'", key, Quoted(*found), want);
    };
    MNW_TRY(expect("general.type", "adapter", Code::kCorrupt));
    MNW_TRY(expect("adapter.type", "lora", Code::kUnsupported));
    MNW_TRY(expect("general.architecture", target_.architecture, Code::kPrecondition));
    const char* const activated = "adapter.alora.invocation_tokens";
    if (file_.Find(activated)) {
      return Error(Code::kUnsupported,
                   "it acts only after certain tokens ('{}'), which is not supported", activated);
    }
    if (sites_.empty()) {
      return Error(Code::kUnsupported, "the model takes no adapters on the devices it runs on");
    }
    return Status();
  }

  Status ReadAlpha() {
    MNW_ASSIGN(const auto alpha, file_.FindF64("adapter.lora.alpha"));
    if (alpha && !std::isfinite(*alpha)) {
      return Error(Code::kCorrupt, "'adapter.lora.alpha' is no number");
    }
    // Files without alpha, or with 0, leave the product as it is.
    if (alpha && *alpha != 0) alpha_ = *alpha;
    return Status();
  }

  Status CollectPairs() {
    constexpr std::string_view kA = ".lora_a", kB = ".lora_b";
    for (const formats::GgufTensor& t : file_.tensors()) {
      const bool is_a = t.name.ends_with(kA);
      if (!is_a && !t.name.ends_with(kB)) {
        return Error(Code::kUnsupported, "tensor '{}' is no lora_a and no lora_b", Quoted(t.name));
      }
      Pair& pair = pairs_[t.name.substr(0, t.name.size() - kA.size())];
      (is_a ? pair.a : pair.b) = &t;
    }
    if (pairs_.empty()) return Error(Code::kCorrupt, "it has no tensors");
    return Status();
  }

  Result<AdapterDelta> ReadPair(std::string_view name, const Pair& pair) const {
    if (!pair.a || !pair.b) {
      return Error(Code::kCorrupt, "'{}' has no {}", Quoted(name), pair.a ? "lora_b" : "lora_a");
    }
    const auto found = sites_.find(name);
    if (found == sites_.end()) {
      return Error(Code::kPrecondition,
                   "the model has no matrix '{}' that takes an adapter; is it for another base?",
                   Quoted(name));
    }
    const Site& site = found->second;
    const int64_t rank = pair.a->ne[1];
    const auto is = [](const formats::GgufTensor& t, int64_t k, int64_t n) {
      return t.ne == std::array<int64_t, 4>{k, n, 1, 1};
    };
    if (rank < 1 || !is(*pair.a, site.k, rank) || !is(*pair.b, rank, site.n)) {
      return Error(Code::kPrecondition,
                   "'{}' has lora_a [{}, {}] and lora_b [{}, {}], must be [{}, rank] and [rank, "
                   "{}]; is it for another base?",
                   Quoted(name), pair.a->ne[0], pair.a->ne[1], pair.b->ne[0], pair.b->ne[1], site.k,
                   site.n);
    }
    if (rank > target_.max_rank) {
      return Error(Code::kUnsupported, "'{}' has rank {}, at most {} is supported", Quoted(name),
                   rank, target_.max_rank);
    }
    const double scale = strength_ * (alpha_ ? *alpha_ / static_cast<double>(rank) : 1.0);
    AdapterDelta delta{site.index, static_cast<uint32_t>(rank), static_cast<float>(scale), {}, {}};
    MNW_ASSIGN(delta.a, Widen(*pair.a));
    MNW_ASSIGN(delta.b, Widen(*pair.b));
    return delta;
  }

  static Result<std::vector<float>> Widen(const formats::GgufTensor& t) {
    std::vector<float> values(static_cast<size_t>(t.ne[0] * t.ne[1]));
    if (Status s = quant::ToF32(t.type, t.data, values); !s.ok()) {
      return std::move(s).Annotate(fmt::format("tensor '{}'", Quoted(t.name)));
    }
    if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
      return Error(Code::kCorrupt, "tensor '{}' has values that are no numbers", Quoted(t.name));
    }
    return values;
  }

  const formats::GgufReader& file_;
  const AdapterTarget& target_;
  const float strength_;
  const std::map<std::string_view, Site> sites_;
  std::optional<double> alpha_;
  std::map<std::string_view, Pair> pairs_;  // by name of the matrix
};

}  // namespace

Result<Adapter> Adapter::Load(const std::string& path, const AdapterTarget& target,
                              float strength) {
  if (!std::isfinite(strength)) {
    return Error(Code::kInvalid, "the scale of an adapter must be a number, not {}", strength);
  }
  const auto load = [&]() -> Result<Adapter> {
    MNW_ASSIGN(const formats::GgufReader file, formats::GgufReader::Open(path));
    return Reader(file, target, strength).Read();
  };
  Result<Adapter> result = load();
  if (!result.ok()) {
    return std::move(result).status().Annotate(fmt::format("adapter '{}'", path));
  }
  return result;
}

}  // namespace minnow::model
