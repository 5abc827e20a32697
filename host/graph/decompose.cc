#include "graph/decompose.h"

#include <algorithm>

#include "graph/draft.h"
#include "graph/op_rules.h"
#include "graph/print.h"

namespace minnow::graph {
namespace {

class Decomposer {
 public:
  explicit Decomposer(const Graph& from) : from_(from), ids_(from.values().size(), MNW_NONE) {
    to_.CopyModel(from);
  }

  Result<Decomposed> Run(std::span<const uint8_t> selected) {
    std::vector<uint32_t> origin;
    for (uint32_t i = 0; i < from_.nodes().size(); ++i) {
      const OpRule* rule = FindOp(from_.node(i).op);
      const bool expand = selected[i] && rule->expand;
      if (Status s = expand ? Expand(*rule, i) : Copy(i); !s.ok()) {
        return std::move(s).Annotate("decomposing " + PrintNode(*from_.view(), i));
      }
      origin.resize(to_.n_nodes(), i);
    }
    return Decomposed{to_.Finish(), std::move(origin)};
  }

 private:
  // The new id; what no node makes and views come into being when first read.
  Result<mnw_id> Translate(mnw_id id) {
    if (id == MNW_NONE || ids_[id] != MNW_NONE) return id == MNW_NONE ? id : ids_[id];
    const mnw_value& v = from_.value(id);
    if (v.kind == MNW_KIND_VIEW) {
      MNW_ASSIGN(const mnw_id base, Translate(v.view_of));
      Dims dims;
      std::copy(v.dim, v.dim + 4, dims.begin());
      MNW_ASSIGN(ids_[id], to_.AddView(base, dims, v.stride, v.view_offset));
    } else {
      ids_[id] = to_.CopyValue(v);
    }
    return ids_[id];
  }

  Result<mnw_node> TranslateInputs(const mnw_node& node) {
    mnw_node result = node;
    for (int i = 0; i < node.n_in; ++i) {
      MNW_ASSIGN(result.in[i], Translate(node.in[i]));
    }
    return result;
  }

  Status Copy(uint32_t i) {
    MNW_ASSIGN(mnw_node node, TranslateInputs(from_.node(i)));
    for (int j = 0; j < node.n_out; ++j) {
      MNW_ASSIGN(node.out[j], Translate(node.out[j]));
    }
    to_.CopyNode(node);
    return {};
  }

  Status Expand(const OpRule& rule, uint32_t i) {
    MNW_ASSIGN(const mnw_node node, TranslateInputs(from_.node(i)));
    DecomposeCall call(to_, node);
    rule.expand(call);
    MNW_TRY(call.status());
    for (int j = 0; j < node.n_out; ++j) {
      const mnw_value& old = from_.value(node.out[j]);
      const mnw_value& made = to_.value(call.out[j]);
      if (made.type != old.type || !std::equal(old.dim, old.dim + 4, made.dim)) {
        return Error(Code::kInternal, "its pieces make {} of {}", PrintShape(made),
                     PrintShape(old));
      }
      ids_[node.out[j]] = call.out[j];
      if (old.kind == MNW_KIND_OUTPUT) MNW_TRY(to_.MarkOutput(call.out[j], old.name));
    }
    return {};
  }

  const Graph& from_;
  Draft to_;
  std::vector<mnw_id> ids_;  // new, by old
};

}  // namespace

Result<Decomposed> Decompose(const Graph& graph, std::span<const uint8_t> selected) {
  return Decomposer(graph).Run(selected);
}

}  // namespace minnow::graph
