// What a chat template may spend. Templates come with model files, so they are code from
// strangers: every loop, call and copy is paid for, and a breach is an error that names the
// limit.
// Threads: one Meter per rendering.
#pragma once

#include <cstddef>

#include "base/status.h"

namespace minnow::text {

struct TemplateLimits {
  size_t max_steps = 20'000'000;  // evaluated nodes, elements of lists, and what strings cost
  size_t max_depth = 500;         // nested expressions, blocks and calls; each takes 1 KiB of stack
  size_t max_output = 16ull << 20;  // bytes of the rendering, and of any string on the way to it
};

namespace jinja {

class Meter {
 public:
  explicit Meter(const TemplateLimits& limits) : limits_(limits), steps_left_(limits.max_steps) {}

  Status Step(size_t n = 1) {
    if (n > steps_left_) return StepsSpent();
    steps_left_ -= n;
    return {};
  }

  // Bytes are read or copied.
  Status Bytes(size_t n) { return Step(n / 32); }

  // A string of this many bytes is about to exist. Four steps are what the smallest costs.
  Status Text(size_t bytes) {
    if (bytes > limits_.max_output) return TextTooLong();
    return Step(4 + bytes / 32);
  }

  // A string under construction has reached this size; it is paid for once, by Text.
  Status Growing(size_t bytes) const {
    if (bytes > limits_.max_output) return TextTooLong();
    return {};
  }

  Status Enter() {
    if (depth_ >= limits_.max_depth) return TooDeep();
    ++depth_;
    return {};
  }
  void Leave() { --depth_; }

 private:
  Status StepsSpent() const {
    return Error(Code::kExhausted, "the template exceeds its limit of {} steps (max_steps)",
                 limits_.max_steps);
  }
  Status TextTooLong() const {
    return Error(Code::kExhausted,
                 "the template exceeds its limit of {} bytes for a text (max_output)",
                 limits_.max_output);
  }
  Status TooDeep() const {
    return Error(Code::kExhausted,
                 "the template exceeds its limit of {} nested evaluations (max_depth)",
                 limits_.max_depth);
  }

  const TemplateLimits limits_;
  size_t steps_left_;
  size_t depth_ = 0;
};

}  // namespace jinja
}  // namespace minnow::text
