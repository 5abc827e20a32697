// How long a step of so many rows takes on this model, learned from the steps that have run.
//
// Nothing is known beforehand; what was never seen lies on the line between its seen neighbours,
// and more rows never take less. Threads: the executor's.
#pragma once

#include <cstdint>
#include <vector>

namespace minnow::engine {

class StepCost {
 public:
  void Observe(uint32_t rows, double seconds);

  // Before any step was seen 0. Fewer rows than ever seen take what those take; more follow the
  // line from the fewest to the most, and are taken as cheap where there is no line yet, so that
  // they are tried.
  double Seconds(uint32_t rows) const;

  // Was a step of at most so many rows among the last `n_steps`?
  bool SeenLately(uint32_t rows, uint64_t n_steps) const;

 private:
  struct Point {
    uint32_t rows;
    uint32_t count = 0;
    uint64_t last = 0;  // step in which it was seen last
    double mean = 0;    // moving
    double fitted = 0;  // the same, never less than of fewer rows
  };
  void Fit();

  std::vector<Point> points_;  // by rows
  uint64_t steps_ = 0;
};

}  // namespace minnow::engine
