#include "graph/value_rules.h"

#include <minnow/sdk/graph_view.hpp>

namespace minnow::graph {
namespace {

// Sizes stay below this, so that products with a number of rows (below 2^31) fit int64.
constexpr int64_t kMaxBytes = int64_t{1} << 31 << 16;

bool IsSymbol(int64_t dim) { return dim < 0 && MNW_DIM_SYMBOL(dim) < MNW_N_SYMBOLS; }

// The index of the symbolic dim, or -1.
int SymbolAxis(const int64_t* dims) {
  for (int i = 0; i < 4; ++i) {
    if (dims[i] < 0) return i;
  }
  return -1;
}

// The last byte that a view touches, plus one, from its offset on; a symbolic dim counts as 1.
// Saturates, since strides are anyone's.
int64_t ViewSpan(const mnw_value& view) {
  const sdk::Block block = sdk::BlockOf(view.type);
  __int128 span = block.bytes;
  for (int i = 0; i < 4; ++i) {
    if (view.dim[i] < 0) continue;
    const int64_t steps = i == 0 ? view.dim[0] / block.elements : view.dim[i];
    span += static_cast<__int128>(steps - 1) * view.stride[i];
  }
  return span > kMaxBytes ? kMaxBytes + 1 : static_cast<int64_t>(span);
}

}  // namespace

Status CheckForm(int32_t type, const Dims& dims) {
  const sdk::Block block = sdk::BlockOf(type);
  if (block.bytes == 0) return Error(Code::kInvalid, "{} is no tensor type", type);
  int64_t bytes = block.bytes;
  for (int i = 0; i < 4; ++i) {
    if (IsSymbol(dims[i])) {
      for (int outer = i + 1; outer < 4; ++outer) {
        if (dims[outer] != 1) {
          return Error(Code::kInvalid, "only the outermost dim may depend on the step");
        }
      }
      if (i == 0 && block.elements != 1) {
        return Error(Code::kInvalid, "rows of a quantized type have a constant length");
      }
      continue;
    }
    if (dims[i] < 1) return Error(Code::kInvalid, "dim {} is {}", i, dims[i]);
    if (i == 0 && dims[0] % block.elements != 0) {
      return Error(Code::kInvalid, "rows of {} elements are no multiple of the block of {}",
                   dims[0], block.elements);
    }
    const int64_t steps = i == 0 ? dims[0] / block.elements : dims[i];
    if (steps > kMaxBytes / bytes) return Error(Code::kInvalid, "it is too large");
    bytes *= steps;
  }
  return {};
}

std::array<int64_t, 4> PackedStrides(int32_t type, const Dims& dims) {
  const sdk::Block block = sdk::BlockOf(type);
  std::array<int64_t, 4> strides;
  int64_t stride = block.bytes;
  for (int i = 0; i < 4; ++i) {
    strides[i] = stride;
    // Outside a symbolic dim there are only ones, for which any stride will do.
    if (dims[i] > 0) stride *= i == 0 ? dims[0] / block.elements : dims[i];
  }
  return strides;
}

Status CheckView(const mnw_value& base, const mnw_value& view) {
  const sdk::Block block = sdk::BlockOf(view.type);
  if (base.kind == MNW_KIND_VIEW || base.kind == MNW_KIND_STATE) {
    return Error(Code::kInvalid, "what it is a view of is a {}",
                 base.kind == MNW_KIND_VIEW ? "view itself" : "state");
  }
  if (view.type != base.type) return Error(Code::kInvalid, "its type is not that of its base");
  for (int i = 0; i < 4; ++i) {
    if (view.stride[i] <= 0 || view.stride[i] % block.bytes != 0) {
      return Error(Code::kInvalid, "stride {} is {}, no multiple of {}", i, view.stride[i],
                   block.bytes);
    }
  }
  if (block.elements > 1 && view.stride[0] != block.bytes) {
    return Error(Code::kInvalid, "the blocks of a quantized row are not adjacent");
  }
  if (view.view_offset % static_cast<uint64_t>(block.bytes) != 0) {
    return Error(Code::kInvalid, "offset {} is no multiple of {}", view.view_offset, block.bytes);
  }

  const int base_axis = SymbolAxis(base.dim), view_axis = SymbolAxis(view.dim);
  if ((base_axis < 0) != (view_axis < 0) ||
      (base_axis >= 0 && base.dim[base_axis] != view.dim[view_axis])) {
    return Error(Code::kInvalid, "its number of rows is not that of its base");
  }
  int64_t room;  // of one row of the symbolic dim, or of the whole
  if (base_axis >= 0) {
    if (view.stride[view_axis] != base.stride[base_axis]) {
      return Error(Code::kInvalid, "its rows are {} bytes apart, those of its base {}",
                   view.stride[view_axis], base.stride[base_axis]);
    }
    room = base.stride[base_axis];
  } else {
    room = base.stride[3] * base.dim[3];
  }
  if (view.view_offset > static_cast<uint64_t>(room) ||
      ViewSpan(view) > room - static_cast<int64_t>(view.view_offset)) {
    return Error(Code::kInvalid, "it reaches past the end of its base");
  }
  return {};
}

Dims InputDims(uint32_t role, int64_t n_pages) {
  switch (role) {
    case MNW_INPUT_SEQ_LEN:
      return {MNW_DIM(MNW_SYM_N_SEQS), 1, 1, 1};
    case MNW_INPUT_OUT_ROWS:
    case MNW_INPUT_OUT_ADAPTER:
      return {MNW_DIM(MNW_SYM_N_OUT), 1, 1, 1};
    case MNW_INPUT_PAGES:
      return {n_pages, MNW_DIM(MNW_SYM_N_SEQS), 1, 1};
    default:
      return {MNW_DIM(MNW_SYM_N_TOKENS), 1, 1, 1};
  }
}

const char* InputName(uint32_t role) {
  switch (role) {
    case MNW_INPUT_TOKENS:
      return "tokens";
    case MNW_INPUT_POSITIONS:
      return "positions";
    case MNW_INPUT_SEQ:
      return "seq";
    case MNW_INPUT_PARENT:
      return "parent";
    case MNW_INPUT_SEQ_LEN:
      return "seq_len";
    case MNW_INPUT_OUT_ROWS:
      return "out_rows";
    case MNW_INPUT_ADAPTER:
      return "adapter";
    case MNW_INPUT_PAGES:
      return "pages";
    case MNW_INPUT_SLOTS:
      return "slots";
    case MNW_INPUT_BOUNDARY:
      return "boundary";
    case MNW_INPUT_OUT_ADAPTER:
      return "out_adapter";
    default:
      return nullptr;
  }
}

}  // namespace minnow::graph
