// The `loop` variable of a `for`.
// Threads: belongs to one rendering.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "text/jinja_value.h"

namespace minnow::text::jinja {

struct Loop final : Object, std::enable_shared_from_this<Loop> {
  Loop(std::vector<Value> items, int value_depth, int loop_depth)
      : Object("loop", value_depth), items(std::move(items)), loop_depth(loop_depth) {}
  std::optional<Value> Attribute(std::string_view name) const override;

  const std::vector<Value> items;
  const int loop_depth;  // 0 unless the loop called itself
  size_t index = 0;
  std::optional<std::vector<Value>> last_changed;  // what `changed` saw
  Callable::Function recurse;                      // loop(items), if the loop is recursive
};

}  // namespace minnow::text::jinja
