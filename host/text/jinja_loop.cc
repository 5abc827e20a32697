#include "text/jinja_loop.h"

#include "text/jinja_ops.h"

namespace minnow::text::jinja {
namespace {

Result<Value> Cycle(const Loop& loop, const Args& args) {
  if (args.positional.empty()) return Error(Code::kInvalid, "loop.cycle needs something to cycle");
  return args.positional[loop.index % args.positional.size()];
}

Result<Value> Changed(Loop& loop, const Args& args, Meter& meter) {
  bool changed = !loop.last_changed || loop.last_changed->size() != args.positional.size();
  for (size_t i = 0; !changed && i < args.positional.size(); ++i) {
    MNW_ASSIGN(const bool equal, Equals((*loop.last_changed)[i], args.positional[i], meter));
    changed = !equal;
  }
  if (changed) loop.last_changed = args.positional;
  return Value::Bool(changed);
}

Value Number(size_t n) { return Value::Int(static_cast<int64_t>(n)); }

}  // namespace

std::optional<Value> Loop::Attribute(std::string_view name) const {
  if (name == "index") return Number(index + 1);
  if (name == "index0") return Number(index);
  if (name == "revindex") return Number(items.size() - index);
  if (name == "revindex0") return Number(items.size() - index - 1);
  if (name == "first") return Value::Bool(index == 0);
  if (name == "last") return Value::Bool(index + 1 == items.size());
  if (name == "length") return Number(items.size());
  if (name == "depth") return Value::Int(loop_depth + 1);
  if (name == "depth0") return Value::Int(loop_depth);
  if (name == "previtem") {
    return index > 0 ? items[index - 1] : Value::Missing("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < items.size() ? items[index + 1] : Value::Missing("there is no next item");
  }
  // A method holds its loop, so it must know that it nests one level deeper.
  const auto self = std::const_pointer_cast<Loop>(shared_from_this());
  if (name == "cycle") {
    return Value::Of(std::make_shared<Callable>(
        "method", depth + 1, [self](Runtime&, const Args& args) { return Cycle(*self, args); }));
  }
  if (name == "changed") {
    return Value::Of(
        std::make_shared<Callable>("method", depth + 1, [self](Runtime& runtime, const Args& args) {
          return Changed(*self, args, runtime.meter);
        }));
  }
  return std::nullopt;
}

}  // namespace minnow::text::jinja
