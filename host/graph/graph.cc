#include "graph/graph.h"

namespace minnow::graph {

mnw_id Graph::Output(std::string_view name) const {
  for (mnw_id id : outputs()) {
    if (value(id).name && value(id).name == name) return id;
  }
  return MNW_NONE;
}

mnw_id Graph::Input(mnw_input role, uint32_t group) const {
  for (mnw_id id : inputs()) {
    if (value(id).role == static_cast<uint32_t>(role) && value(id).index == group) return id;
  }
  return MNW_NONE;
}

}  // namespace minnow::graph
