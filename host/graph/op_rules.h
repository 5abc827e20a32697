// What the host knows of each op: arity, the shapes of its outputs, and for fused ops the core ops
// they stand for. One table, made from ops.def; an op's functions stand in ops/<op or family>.cc as
// Shape, Expand (fused ops) and Describe (parameter structs).
// Threads: any; the table is constant data.
#pragma once

#include <minnow/abi/graph.h>

#include <array>
#include <initializer_list>
#include <minnow/sdk/graph_view.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "graph/draft.h"

namespace minnow::graph {

struct OutShape {
  int32_t type = MNW_TYPE_F32;  // NONE: the state of input `state`
  Dims dim{1, 1, 1, 1};
};

// One question to a shape rule: the inputs and parameters of a node; the answer goes to `out`.
class ShapeCall {
 public:
  ShapeCall(std::span<const mnw_value* const> in, const void* params, uint32_t params_size)
      : in_(in), params_(params), params_size_(params_size) {}

  // Null if absent.
  const mnw_value* in(size_t i) const { return i < in_.size() ? in_[i] : nullptr; }
  template <class P>
  P params() const {
    return sdk::Params<P>(params_, params_size_);
  }

  // Matches the inputs and fills `out` by a line such as
  //
  //   "x[..,T,K] w*[N,K] bias*?[N] adapter:i32?[T] -> [..,T,N]"
  //
  // Dims stand outermost first. A name takes the extent it meets first and demands it wherever it
  // comes again; `..` stands for any dims outside the named ones, the same everywhere. After a name
  // stand its type (none: f32, `*`: any, `:i32`, `@`: a state) and `?` if it may be absent.
  Status Match(std::string_view pattern);
  // Gives a name its extent before Match.
  void Bind(std::string_view name, int64_t extent) { bound_.push_back({name, extent}); }
  int64_t Bound(std::string_view name) const;  // 0 if it has none

  template <class... Args>
  Status Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    return Error(Code::kInvalid, format, std::forward<Args>(args)...);
  }

  std::array<OutShape, MNW_MAX_OUTPUTS> out;

 private:
  struct Operand;
  struct Binding {
    std::string_view name;
    int64_t extent;
  };

  static Operand Parse(std::string_view text);
  Status MatchInput(const Operand& want, const mnw_value* value);
  OutShape MakeOut(const Operand& want) const;

  std::span<const mnw_value* const> in_;
  const void* params_;
  uint32_t params_size_;
  std::vector<Binding> bound_;
  std::vector<int64_t> leading_;  // what `..` stands for, innermost first
  bool has_leading_ = false;
};

// One fused node to be written as core ops into a draft. The first failure is kept; calls after it
// do nothing, so that decompositions read like formulas.
class DecomposeCall {
 public:
  // `node` with its inputs as ids of `draft`.
  DecomposeCall(Draft& draft, const mnw_node& node) : draft_(draft), node_(node) {}

  mnw_id in(int i) const { return i < node_.n_in ? node_.in[i] : MNW_NONE; }
  mnw_value value(mnw_id id) const { return draft_.value(id); }  // a copy: Emit moves values
  template <class P>
  P params() const {
    return sdk::Params<P>(node_);
  }

  template <class P>
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const P& params) {
    return Emit(op, in, &params, sizeof params);
  }
  mnw_id Emit(mnw_op op, std::initializer_list<mnw_id> in) { return Emit(op, in, nullptr, 0)[0]; }
  // As it lies, with other dims.
  mnw_id Reshape(mnw_id of, const Dims& dims);
  mnw_id View(mnw_id of, const Dims& dims, const std::array<int64_t, 4>& strides, uint64_t offset);

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }

  Outs out = kNoOuts;  // the answer

 private:
  Outs Emit(mnw_op op, std::initializer_list<mnw_id> in, const void* params, uint32_t params_size);

  Draft& draft_;
  const mnw_node& node_;
  Status status_;
};

template <mnw_op>
Status Shape(ShapeCall& call);
template <mnw_op>
void Expand(DecomposeCall& call);

// The parameters as the printer shows them, without braces; empty if there is nothing to tell.
#define MNW_OP(name, id, cls, min_in, max_in, n_out, params) \
  template <>                                                \
  Status Shape<MNW_OP_##name>(ShapeCall & call);             \
  std::string Describe(const params& p);                     \
  MNW_EXPAND_##cls(name)
#define MNW_EXPAND_CORE(name)
#define MNW_EXPAND_STATE(name)
#define MNW_EXPAND_FUSED(name) \
  template <>                  \
  void Expand<MNW_OP_##name>(DecomposeCall & call);
#include <minnow/abi/ops.def>
#undef MNW_OP
#undef MNW_EXPAND_CORE
#undef MNW_EXPAND_STATE
#undef MNW_EXPAND_FUSED

struct OpRule {
  mnw_op op;
  const char* name;
  mnw_op_class op_class;
  uint16_t min_in, max_in, n_out;
  uint32_t params_size;  // 0: it has none
  Status (*shape)(ShapeCall&);
  void (*expand)(DecomposeCall&);  // null unless FUSED
  std::string (*describe)(const mnw_node&);
};

std::span<const OpRule> OpRules();
const OpRule* FindOp(uint32_t op);  // null if unknown

// Arity, parameters and the shape rule. `in` holds null for absent inputs. Messages do not name the
// op.
Result<std::array<OutShape, MNW_MAX_OUTPUTS>> InferShapes(const OpRule& rule,
                                                          std::span<const mnw_value* const> in,
                                                          const void* params, uint32_t params_size);

}  // namespace minnow::graph
