#include "graph/builder.h"

#include <string.h>

#include "graph/print.h"
#include "graph/verify.h"

namespace minnow::graph {
namespace {

constexpr int kMaxDims = 4;

std::string PrintDims(std::span<const int64_t> dims) {
  std::string text = "[";
  for (size_t i = dims.size(); i-- > 0;) {
    text += dims[i] == 0 ? "any" : fmt::format("{}", dims[i]);
    if (i > 0) text += ',';
  }
  return text + "]";
}

// A code that came over the line; what is none is a bug of the plugin.
Code FromAbi(int code) {
  const Code known = static_cast<Code>(code);
  return known == Code::kOk || CodeName(known) == std::string_view("unknown") ? Code::kInternal
                                                                              : known;
}

}  // namespace

// The C face: each call does nothing after the first failure.
struct Builder::Calls {
  static Builder* Live(void* self) {
    auto* builder = static_cast<Builder*>(self);
    return builder->status_.ok() ? builder : nullptr;
  }

  static mnw_id Id(Builder* b, Result<mnw_id> id) {
    if (id.ok()) return *id;
    b->Fail(std::move(id).status());
    return MNW_NONE;
  }

  static mnw_id Weight(void* self, const char* name, uint32_t n_dims, const int64_t* dims,
                       uint32_t flags) {
    Builder* b = Live(self);
    if (!b) return MNW_NONE;
    if (!name || !dims || n_dims < 1 || n_dims > kMaxDims) {
      b->Fail(Error(Code::kInvalid, "a weight needs a name and 1 to 4 dims"));
      return MNW_NONE;
    }
    return b->Weight(name, {dims, n_dims}, flags);
  }

  static mnw_id Input(void* self, uint32_t role, uint32_t index) {
    Builder* b = Live(self);
    return b ? b->Input(role, index) : MNW_NONE;
  }

  static uint32_t StateGroup(void* self, uint32_t kind, uint32_t window) {
    Builder* b = Live(self);
    return b ? b->StateGroup(kind, window) : 0;
  }

  static mnw_id State(void* self, uint32_t layer, uint32_t group, uint32_t n_kv_heads,
                      uint32_t k_dim, uint32_t v_dim) {
    Builder* b = Live(self);
    return b ? Id(b, b->draft_.AddState(layer, group, n_kv_heads, k_dim, v_dim)) : MNW_NONE;
  }

  static void Emit(void* self, uint32_t op, int32_t layer, const mnw_id* in, uint32_t n_in,
                   const void* params, uint32_t params_size, mnw_id* out, uint32_t n_out) {
    for (uint32_t i = 0; i < n_out; ++i) out[i] = MNW_NONE;
    Builder* b = Live(self);
    if (!b) return;
    const Result<Outs> outs = b->draft_.Emit(op, layer, {in, n_in}, params, params_size);
    if (!outs.ok()) return b->Fail(outs.status());
    for (uint32_t i = 0; i < n_out && i < outs->size(); ++i) out[i] = (*outs)[i];
  }

  static mnw_id View(void* self, mnw_id of, uint32_t n_dims, const int64_t* dims,
                     const int64_t* strides, uint64_t offset) {
    Builder* b = Live(self);
    if (!b) return MNW_NONE;
    if (!dims || n_dims < 1 || n_dims > kMaxDims) {
      b->Fail(Error(Code::kInvalid, "a view needs 1 to 4 dims"));
      return MNW_NONE;
    }
    Dims all{1, 1, 1, 1};
    std::copy(dims, dims + n_dims, all.begin());
    if (!strides) return Id(b, b->draft_.AddPackedView(of, all, offset));
    std::array<int64_t, kMaxDims> steps;
    std::copy(strides, strides + n_dims, steps.begin());
    // Those of unused dims never count; any legal one will do.
    std::fill(steps.begin() + n_dims, steps.end(), steps[n_dims - 1]);
    return Id(b, b->draft_.AddView(of, all, steps, offset));
  }

  static void Output(void* self, mnw_id value, const char* name) {
    Builder* b = Live(self);
    if (!b) return;
    if (Status s = b->draft_.MarkOutput(value, name ? name : ""); !s.ok()) b->Fail(std::move(s));
  }

  static int64_t Dim(void* self, mnw_id value, uint32_t axis) {
    const auto* b = static_cast<const Builder*>(self);
    return value < b->draft_.n_values() && axis < kMaxDims ? b->draft_.value(value).dim[axis] : 0;
  }

  static void Fail(void* self, int code, const char* message) {
    if (Builder* b = Live(self)) {
      b->Fail(Status(FromAbi(code), message && *message ? message : "it gave no reason"));
    }
  }
};

Builder::Builder(const mnw_build_options& options, std::span<const TensorInfo> tensors)
    : options_(options), tensors_(tensors) {
  abi_ = {.size = sizeof abi_,
          .self = this,
          .weight = &Calls::Weight,
          .input = &Calls::Input,
          .state_group = &Calls::StateGroup,
          .state = &Calls::State,
          .emit = &Calls::Emit,
          .view = &Calls::View,
          .output = &Calls::Output,
          .dim = &Calls::Dim,
          .fail = &Calls::Fail};
  for (const TensorInfo& t : tensors) by_name_.emplace(t.name, &t);
  if (options.n_ctx == 0 || options.page_tokens == 0) {
    Fail(Error(Code::kInvalid, "a context of {} tokens in pages of {} is not possible",
               options.n_ctx, options.page_tokens));
  }
}

void Builder::Fail(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

mnw_id Builder::Weight(std::string_view name, std::span<const int64_t> dims, uint32_t flags) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    if (!(flags & MNW_WEIGHT_OPTIONAL)) {
      Fail(Error(Code::kNotFound, "the file has no tensor '{}', which must be {}", name,
                 PrintDims(dims)));
    }
    return MNW_NONE;
  }
  const TensorInfo& tensor = *found->second;
  bool fits = true;
  for (size_t i = 0; i < tensor.ne.size(); ++i) {
    const int64_t want = i < dims.size() ? dims[i] : 1;
    fits = fits && (want == 0 || want == tensor.ne[i]);
  }
  if (!fits) {
    size_t n_dims = tensor.ne.size();
    while (n_dims > dims.size() && tensor.ne[n_dims - 1] == 1) --n_dims;
    Fail(Error(Code::kCorrupt, "tensor '{}' is {}, must be {}", name,
               PrintDims({tensor.ne.data(), n_dims}), PrintDims(dims)));
    return MNW_NONE;
  }
  if (const auto known = weights_.find(&tensor); known != weights_.end()) return known->second;
  Result<mnw_id> id = draft_.AddWeight(name, tensor.type, tensor.ne);
  if (!id.ok()) {
    Fail(std::move(id).status().Annotate(fmt::format("tensor '{}'", name)));
    return MNW_NONE;
  }
  weights_.emplace(&tensor, *id);
  return *id;
}

Result<mnw_id> Builder::NewInput(uint32_t role, uint32_t index) {
  const char* name = InputName(role);
  if (!name || role == MNW_INPUT_BOUNDARY)
    return Error(Code::kInvalid, "there is no input {}", role);
  const bool grouped = role == MNW_INPUT_PAGES || role == MNW_INPUT_SLOTS;
  if (index >= (grouped ? draft_.state_groups().size() : 1)) {
    return Error(Code::kInvalid, "input {}.{}: there is no such state group", name, index);
  }
  const int64_t n_pages =
      (int64_t{options_.n_ctx} + options_.page_tokens - 1) / options_.page_tokens;
  return draft_.AddInput(static_cast<mnw_input>(role), index, MNW_TYPE_I32,
                         InputDims(role, n_pages), name);
}

mnw_id Builder::Input(uint32_t role, uint32_t index) {
  const auto [it, fresh] = inputs_.try_emplace({role, index}, MNW_NONE);
  if (fresh) it->second = Calls::Id(this, NewInput(role, index));
  return it->second;
}

uint32_t Builder::StateGroup(uint32_t kind, uint32_t window) {
  if (kind != MNW_STATE_KV && kind != MNW_STATE_RECURRENT) {
    Fail(Error(Code::kInvalid, "there is no kind {} of state", kind));
    return 0;
  }
  return draft_.AddStateGroup(static_cast<mnw_state_kind>(kind), window, options_.page_tokens);
}

Result<BuiltGraph> Builder::Finish(const mnw_model_info& info) {
  MNW_TRY(status_);
  draft_.SetInfo(info);
  BuiltGraph built{draft_.Finish(), {}};
  if (built.graph.outputs().empty()) return Error(Code::kInternal, "the graph has no output");
  MNW_TRY(Verify(built.graph.view()));
  for (const TensorInfo& t : tensors_) {
    if (!weights_.contains(&t)) built.unused_tensors.push_back(t.name);
  }
  return built;
}

Result<BuiltGraph> BuildGraph(const mnw_arch& arch, const mnw_metadata& metadata,
                              const mnw_build_options& options,
                              std::span<const TensorInfo> tensors) {
  Builder builder(options, tensors);
  MNW_TRY(builder.status());
  mnw_model_info info{};
  info.size = sizeof info;
  mnw_error error{};
  const std::string what = fmt::format("architecture '{}'", arch.id);
  int code;
  try {
    code = arch.build(&metadata, &options, builder.abi(), &info, &error);
  } catch (...) {
    return Error(Code::kInternal, "{}: it let an exception escape", what);
  }
  if (!builder.status().ok()) return Status(builder.status()).Annotate(what);
  if (code != MNW_OK) {
    const size_t length = ::strnlen(error.message, sizeof error.message);
    return Status(FromAbi(code), std::string(error.message, length)).Annotate(what);
  }
  Result<BuiltGraph> built = builder.Finish(info);
  if (!built.ok()) return std::move(built).status().Annotate(what);
  return built;
}

}  // namespace minnow::graph
