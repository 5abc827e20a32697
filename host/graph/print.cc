#include "graph/print.h"

#include <algorithm>
#include <minnow/sdk/graph_view.hpp>

#include "graph/op_rules.h"
#include "graph/value_rules.h"

namespace minnow::graph {
namespace {

const char* TypeName(int32_t type) {
  switch (type) {
#define MNW_TYPE(name, id, elements, bytes) \
  case id:                                  \
    return #name;
#include <minnow/abi/types.def>
#undef MNW_TYPE
    default:
      return "type?";
  }
}

std::string PrintDims(const mnw_value& v) {
  std::string text;
  for (int i = sdk::Rank(v) - 1; i >= 0; --i) {
    text += PrintDim(v.dim[i]);
    if (i > 0) text += ',';
  }
  return text;
}

std::string PrintView(const mnw_value& v) {
  std::string text = fmt::format("view(%{}", v.view_of);
  if (v.view_offset) text += fmt::format(" +{}", v.view_offset);
  text += fmt::format(", [{}]", PrintDims(v));
  if (!sdk::IsPacked(v)) {
    text += " strides [";
    for (int i = sdk::Rank(v) - 1; i >= 0; --i) {
      text += fmt::format("{}{}", v.stride[i], i > 0 ? "," : "]");
    }
  }
  return text + ")";
}

std::string PrintInput(mnw_id id, const mnw_value& v) {
  const char* name = InputName(v.role);
  if (v.role == MNW_INPUT_PAGES || v.role == MNW_INPUT_SLOTS) {
    return fmt::format("{}.{}", name, v.index);
  }
  if (v.role == MNW_INPUT_BOUNDARY) return fmt::format("%{}", id);
  return name ? name : fmt::format("%{}", id);
}

}  // namespace

std::string PrintDim(int64_t dim) {
  switch (dim) {
    case MNW_DIM(MNW_SYM_N_TOKENS):
      return "n_tokens";
    case MNW_DIM(MNW_SYM_N_SEQS):
      return "n_seqs";
    case MNW_DIM(MNW_SYM_N_OUT):
      return "n_out";
    default:
      return fmt::format("{}", dim);
  }
}

std::string PrintShape(const mnw_value& v) {
  if (v.kind == MNW_KIND_STATE) return fmt::format("state[{}]", PrintDims(v));
  std::string type = TypeName(v.type);
  std::transform(type.begin(), type.end(), type.begin(), [](char c) {
    return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return fmt::format("{}[{}]", type, PrintDims(v));
}

std::string PrintValue(const mnw_graph& graph, mnw_id id) {
  if (id == MNW_NONE) return "-";
  const mnw_value& v = *mnw_value_at(&graph, id);
  switch (v.kind) {
    case MNW_KIND_INPUT:
      return PrintInput(id, v);
    case MNW_KIND_WEIGHT:
      return fmt::format("{} {}", v.name ? v.name : "?", PrintShape(v));
    case MNW_KIND_STATE:
      return fmt::format("%{} state.{}", id, v.index);
    case MNW_KIND_VIEW:
      return PrintView(v);
    default:
      return fmt::format("%{}", id);
  }
}

std::string PrintNode(const mnw_graph& graph, uint32_t node) {
  const mnw_node& n = *mnw_node_at(&graph, node);
  const OpRule* rule = FindOp(n.op);
  std::string text;
  for (int i = 0; i < n.n_out; ++i) {
    const mnw_value& v = *mnw_value_at(&graph, n.out[i]);
    text +=
        fmt::format("{}%{} {}", i ? ", " : "", n.out[i],
                    v.kind == MNW_KIND_STATE ? fmt::format("state.{}", v.index) : PrintShape(v));
  }
  text += fmt::format(" = {}(", rule->name);
  for (int i = 0; i < n.n_in; ++i) {
    text += fmt::format("{}{}", i ? ", " : "", PrintValue(graph, n.in[i]));
  }
  text += ')';
  if (const std::string params = rule->describe(n); !params.empty()) {
    text += fmt::format(" {{{}}}", params);
  }
  if (n.layer >= 0) text += fmt::format(" layer {}", n.layer);
  return text;
}

std::string Print(const mnw_graph& graph) {
  std::string text;
  for (mnw_id id = 0; id < graph.n_values; ++id) {
    const mnw_value& v = *mnw_value_at(&graph, id);
    if (v.kind == MNW_KIND_INPUT) {
      text += fmt::format("input {} {}{}\n", PrintInput(id, v), PrintShape(v),
                          v.role == MNW_INPUT_BOUNDARY ? " boundary" : "");
    }
  }
  for (uint32_t i = 0; i < graph.n_nodes; ++i) text += PrintNode(graph, i) + "\n";
  for (mnw_id id = 0; id < graph.n_values; ++id) {
    const mnw_value& v = *mnw_value_at(&graph, id);
    if (v.kind == MNW_KIND_OUTPUT) {
      text += fmt::format("output {}{}%{} {}\n", v.name ? v.name : "", v.name ? " " : "", id,
                          PrintShape(v));
    }
  }
  return text;
}

}  // namespace minnow::graph
