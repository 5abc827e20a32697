#include "engine/step_limits.h"

#include <algorithm>

namespace minnow::engine {

// Where a single row already takes most of the budget, several take little more.
constexpr double kRowsOverOne = 1.5;

uint32_t RowsWithin(const StepCost& cost, double seconds, uint32_t most) {
  uint32_t fits = 1, above = most + 1;
  while (fits + 1 < above) {
    const uint32_t rows = fits + (above - fits) / 2;
    (cost.Seconds(rows) <= seconds ? fits : above) = rows;
  }
  return fits;
}

StepLimits LimitsFor(const StepSituation& now, const StepCost& cost) {
  const uint32_t all = now.step_tokens;
  if (now.budget_seconds <= 0 || !now.interactive_lately) return {all, all, all};
  const double seconds = std::max(now.budget_seconds, kRowsOverOne * cost.Seconds(1));
  const uint32_t within = RowsWithin(cost, seconds, all);
  const uint32_t beside = now.prefilling == 0 ? within - std::min(within, now.decoding) : 0;
  if (beside > 0 || now.steps_without_batch < kStepsWithoutBatch) return {all, all, beside};
  if (now.whole) return {all, 0, within};  // there is no half of what is not cut
  const uint32_t share = std::min(within, all / 2);
  return {all, all - share, share};
}

}  // namespace minnow::engine
