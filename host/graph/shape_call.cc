// The line language of shape rules.
#include <charconv>

#include "graph/op_rules.h"
#include "graph/print.h"

namespace minnow::graph {

struct ShapeCall::Operand {
  std::string_view name;
  std::string_view shape;              // "[..,T,K]", as written
  std::vector<std::string_view> dims;  // innermost first, without `..`
  bool leading = false;                // has `..`
  bool any_type = false, state = false, optional = false;
  int32_t type = MNW_TYPE_F32;
};

// Patterns are ours, so that nothing is checked here; op_rules_test runs each once.
ShapeCall::Operand ShapeCall::Parse(std::string_view text) {
  Operand result;
  const size_t bracket = text.find('[');
  result.shape = text.substr(bracket);
  std::string_view head = text.substr(0, bracket);
  if (head.ends_with('?')) {
    result.optional = true;
    head.remove_suffix(1);
  }
  if (head.ends_with('*')) {
    result.any_type = true;
    head.remove_suffix(1);
  } else if (head.ends_with('@')) {
    result.state = true;
    head.remove_suffix(1);
  } else if (head.ends_with(":i32")) {
    result.type = MNW_TYPE_I32;
    head.remove_suffix(4);
  }
  result.name = head;

  std::string_view dims = result.shape.substr(1, result.shape.size() - 2);
  while (!dims.empty()) {
    const size_t comma = std::min(dims.find(','), dims.size());
    const std::string_view dim = dims.substr(0, comma);
    if (dim == "..") {
      result.leading = true;
    } else {
      result.dims.insert(result.dims.begin(), dim);
    }
    dims.remove_prefix(std::min(comma + 1, dims.size()));
  }
  return result;
}

namespace {

// The extent that a dim such as "1" demands.
bool Literal(std::string_view dim, int64_t* out) {
  const auto [end, error] = std::from_chars(dim.data(), dim.data() + dim.size(), *out);
  return error == std::errc();
}

}  // namespace

int64_t ShapeCall::Bound(std::string_view name) const {
  for (const Binding& b : bound_) {
    if (b.name == name) return b.extent;
  }
  return 0;
}

Status ShapeCall::MatchInput(const Operand& want, const mnw_value* value) {
  if (!value) {
    if (want.optional) return {};
    return Refuse("input {} is absent", want.name);
  }
  const bool is_state = value->kind == MNW_KIND_STATE;
  if (is_state != want.state) {
    return Refuse("input {} is {} state", want.name, is_state ? "a" : "no");
  }
  if (!want.state && !want.any_type && value->type != want.type) {
    return Refuse("input {} is {}, must be {}", want.name, PrintShape(*value),
                  want.type == MNW_TYPE_I32 ? "i32" : "f32");
  }
  const size_t n = want.dims.size();
  for (size_t i = 0; i < n; ++i) {
    int64_t extent = 0;
    if (!Literal(want.dims[i], &extent)) extent = Bound(want.dims[i]);
    if (extent == 0) {
      Bind(want.dims[i], value->dim[i]);
    } else if (extent != value->dim[i]) {
      return Refuse("input {} is {}, must be {} with {} = {}", want.name, PrintShape(*value),
                    want.shape, want.dims[i], PrintDim(extent));
    }
  }
  const std::vector<int64_t> outside(value->dim + n, value->dim + 4);
  if (want.leading && !has_leading_) {
    leading_ = outside;
    has_leading_ = true;
  }
  const bool fits = want.leading ? outside == leading_
                                 : std::all_of(outside.begin(), outside.end(),
                                               [](int64_t dim) { return dim == 1; });
  if (!fits) return Refuse("input {} is {}, must be {}", want.name, PrintShape(*value), want.shape);
  return {};
}

OutShape ShapeCall::MakeOut(const Operand& want) const {
  OutShape result;
  result.type = want.state ? static_cast<int32_t>(MNW_TYPE_NONE) : want.type;
  size_t axis = 0;
  for (std::string_view dim : want.dims) {
    int64_t extent = 0;
    if (!Literal(dim, &extent)) extent = Bound(dim);
    result.dim[axis++] = extent;
  }
  if (want.leading) {
    for (size_t i = 0; i < leading_.size() && axis < 4; ++i) result.dim[axis++] = leading_[i];
  }
  return result;
}

Status ShapeCall::Match(std::string_view pattern) {
  size_t n_in = 0, n_out = 0;
  bool outputs = false;
  while (!pattern.empty()) {
    const size_t space = std::min(pattern.find(' '), pattern.size());
    const std::string_view word = pattern.substr(0, space);
    pattern.remove_prefix(std::min(space + 1, pattern.size()));
    if (word == "->") {
      outputs = true;
    } else if (outputs) {
      out[n_out++] = MakeOut(Parse(word));
    } else {
      MNW_TRY(MatchInput(Parse(word), in(n_in++)));
    }
  }
  return {};
}

}  // namespace minnow::graph
