// How many rows a step may have, so that interactive requests do not wait long for batch work.
//
// Batch work alone runs in steps as large as they may be, unless interactive requests came lately:
// then each step is sized to a time, the most that one who comes now has to wait; or to half as
// long again as a single row takes, where that is more. Interactive rows are never cut short by it.
// Beside interactive decoding, batch rows fill the step up to that time; beside an interactive
// prompt they wait, but not for long. Of an encoder, whose sequences are not cut, a step may have
// one that is longer, but then no other. Threads: pure.
#pragma once

#include <cstdint>

#include "engine/step_cost.h"

namespace minnow::engine {

struct StepLimits {
  uint32_t rows;                          // at most
  uint32_t interactive_rows, batch_rows;  // of each kind
};

struct StepSituation {
  uint32_t step_tokens;           // rows of any step, at most
  double budget_seconds;          // 0: no limit
  bool interactive_lately;        // within the last minute
  uint32_t decoding, prefilling;  // interactive jobs that run
  uint32_t steps_without_batch;   // in a row, in which batch work waited
  bool whole = false;             // an encoder's sequences, none of which is cut
};

// After so many steps without batch work the next has some.
inline constexpr uint32_t kStepsWithoutBatch = 8;

StepLimits LimitsFor(const StepSituation& now, const StepCost& cost);

// The rows of the largest step that takes no longer; at least 1.
uint32_t RowsWithin(const StepCost& cost, double seconds, uint32_t most);

}  // namespace minnow::engine
