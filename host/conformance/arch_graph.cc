#include "conformance/arch_graph.h"

#include <algorithm>
#include <cstring>
#include <minnow/sdk/graph_view.hpp>
#include <string>
#include <string_view>

#include "graph/print.h"

namespace minnow::conformance {

namespace {

using graph::Graph;

std::string NodeText(const Graph& g, uint32_t i) {
  return fmt::format("node {}, {}", i, graph::PrintNode(*g.view(), i));
}

template <class T>
bool SameBytes(std::span<const T> a, std::span<const T> b) {
  if (a.size() != b.size()) return false;
  return a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

bool SameParams(const mnw_node& a, const mnw_node& b) {
  return a.params_size == b.params_size &&
         (a.params_size == 0 || std::memcmp(a.params, b.params, a.params_size) == 0);
}

// The first lines that differ.
Status CompareText(const std::string& a, const std::string& b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (x == a.end() && y == b.end()) return Status();
  const auto line = [](const std::string& text, std::string::const_iterator at) {
    const auto n = static_cast<size_t>(at - text.begin());
    const size_t begin = n == 0 ? 0 : text.rfind('\n', n - 1) + 1;
    return text.substr(begin, text.find('\n', n) - begin);
  };
  return Error(Code::kInternal, "another graph: '{}', then '{}'", line(a, x), line(b, y));
}

// Whether the matrices of this node must have sites.
bool WantsSites(const Graph& g, const mnw_node& n) {
  const bool multiplies = n.op == MNW_OP_linear || n.op == MNW_OP_qkv || n.op == MNW_OP_glu_ffn ||
                          n.op == MNW_OP_lm_head;
  if (!multiplies || g.value(n.in[1]).kind != MNW_KIND_WEIGHT) return false;
  const int64_t rows = g.value(n.in[0]).dim[1];
  return rows == MNW_DIM(MNW_SYM_N_TOKENS) || rows == MNW_DIM(MNW_SYM_N_OUT);
}

}  // namespace

Status CheckForm(const Graph& g) {
  const mnw_model_info& info = g.info();
  const bool encodes = info.is_encoder != 0;
  const char* name = encodes ? "embedding" : "logits";
  const mnw_id output = g.Output(name);
  if (output == MNW_NONE) return Error(Code::kInternal, "the graph has no output '{}'", name);
  const mnw_value& v = g.value(output);
  const int64_t rows = encodes ? MNW_DIM(MNW_SYM_N_SEQS) : MNW_DIM(MNW_SYM_N_OUT);
  if (v.dim[1] != rows || v.dim[2] != 1 || v.dim[3] != 1) {
    return Error(Code::kInternal, "output '{}' is {}, must be one row per {}", name,
                 graph::PrintShape(v), encodes ? "sequence" : "wanted position");
  }
  if (!encodes && v.dim[0] != int64_t{info.n_vocab}) {
    return Error(Code::kInternal, "mnw_model_info.n_vocab is {}, output '{}' is {}", info.n_vocab,
                 name, graph::PrintShape(v));
  }
  if (info.n_layers == 0 || info.n_embd == 0 || info.n_ctx_train == 0) {
    return Error(Code::kInternal, "mnw_model_info: {} layers, n_embd {}, n_ctx_train {}",
                 info.n_layers, info.n_embd, info.n_ctx_train);
  }
  if (encodes && !g.state_layers().empty()) {
    return Error(Code::kInternal, "an encoder with a state: its sequences are one step each");
  }
  return Status();
}

Status CompareGraphs(const Graph& a, const Graph& b) {
  MNW_TRY(CompareText(graph::Print(*a.view()), graph::Print(*b.view())));
  for (uint32_t i = 0; i < a.nodes().size(); ++i) {
    if (!SameParams(a.node(i), b.node(i))) {
      return Error(Code::kInternal, "the parameters have other bytes: {}", NodeText(a, i));
    }
  }
  if (!SameBytes(a.state_groups(), b.state_groups()) ||
      !SameBytes(a.state_layers(), b.state_layers())) {
    return Error(Code::kInternal, "another state");
  }
  if (std::memcmp(&a.info(), &b.info(), sizeof(mnw_model_info)) != 0) {
    return Error(Code::kInternal, "another mnw_model_info");
  }
  return Status();
}

Status CompareSites(const Graph& without, const Graph& with) {
  if (without.nodes().size() != with.nodes().size()) {
    return Error(Code::kInternal, "{} nodes without adapters, {} with them", without.nodes().size(),
                 with.nodes().size());
  }
  const auto none = [](uint32_t, uint32_t) {};
  for (uint32_t i = 0; i < with.nodes().size(); ++i) {
    if (without.node(i).op != with.node(i).op) {
      return Error(Code::kInternal, "with adapters there is another node: {}", NodeText(with, i));
    }
    if (sdk::ForEachSite(without.node(i), none) != MNW_NONE) {
      return Error(Code::kInternal, "an adapter that nobody asked for: {}", NodeText(without, i));
    }
    const mnw_id slots = sdk::ForEachSite(with.node(i), none);
    if (slots == MNW_NONE && WantsSites(with, with.node(i))) {
      return Error(Code::kInternal, "no adapter, though they are asked for: {}", NodeText(with, i));
    }
  }
  return Status();
}

}  // namespace minnow::conformance
