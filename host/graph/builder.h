// Runs a model architecture: metadata and a list of tensors in, a verified graph out.
//
// The builder implements mnw_builder over the tensors' names, types and shapes; it sees no bytes.
// The first error is kept and returned, whatever the architecture does afterwards; it names the
// tensor or the node, what was expected and what was found. Threads: one at a time.
#pragma once

#include <minnow/abi/arch.h>

#include <array>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "graph/draft.h"
#include "graph/graph.h"

namespace minnow::graph {

struct TensorInfo {
  std::string name;
  mnw_type type = MNW_TYPE_F32;
  std::array<int64_t, 4> ne{1, 1, 1, 1};  // innermost first, unused ones 1
};

struct BuiltGraph {
  Graph graph;
  std::vector<std::string> unused_tensors;  // in the file, but not asked for; in the file's order
};

// `metadata` and `tensors` are read during the call only. The weights of the result carry the
// tensors' names. Exceptions of the architecture are caught.
Result<BuiltGraph> BuildGraph(const mnw_arch& arch, const mnw_metadata& metadata,
                              const mnw_build_options& options,
                              std::span<const TensorInfo> tensors);

// The C face and what lies behind it. BuildGraph is the way to use it; tests drive it by hand.
class Builder {
 public:
  // REQUIRES: `tensors` outlives the builder.
  Builder(const mnw_build_options& options, std::span<const TensorInfo> tensors);
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  const mnw_builder* abi() const { return &abi_; }
  const Status& status() const { return status_; }  // the first error

  // The first error, or the verified graph.
  Result<BuiltGraph> Finish(const mnw_model_info& info);

 private:
  struct Calls;  // the C functions

  void Fail(Status status);
  mnw_id Weight(std::string_view name, std::span<const int64_t> dims, uint32_t flags);
  mnw_id Input(uint32_t role, uint32_t index);
  uint32_t StateGroup(uint32_t kind, uint32_t window);
  Result<mnw_id> NewInput(uint32_t role, uint32_t index);

  mnw_builder abi_{};
  mnw_build_options options_;
  std::span<const TensorInfo> tensors_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;
  std::unordered_map<const TensorInfo*, mnw_id> weights_;
  std::map<std::pair<uint32_t, uint32_t>, mnw_id> inputs_;  // by role and index
  Draft draft_;
  Status status_;
};

}  // namespace minnow::graph
