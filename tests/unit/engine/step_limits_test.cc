#include "engine/step_limits.h"

#include <CppUTest/TestHarness.h>

using minnow::engine::kStepsWithoutBatch;
using minnow::engine::LimitsFor;
using minnow::engine::RowsWithin;
using minnow::engine::StepCost;
using minnow::engine::StepLimits;
using minnow::engine::StepSituation;

TEST_GROUP(StepLimits) {
  StepCost cost;
  StepSituation now{512, 0.040, true, 0, 0, 0};

  // A step takes 10 ms and 1 ms for each row.
  void setup() override {
    for (const uint32_t rows : {1u, 10u, 100u, 512u}) cost.Observe(rows, 0.010 + 0.001 * rows);
  }
  void CheckLimits(uint32_t interactive, uint32_t batch) {
    const StepLimits limits = LimitsFor(now, cost);
    UNSIGNED_LONGS_EQUAL(512, limits.rows);
    UNSIGNED_LONGS_EQUAL(interactive, limits.interactive_rows);
    UNSIGNED_LONGS_EQUAL(batch, limits.batch_rows);
  }
};

TEST(StepLimits, FindsTheLargestStepWithinATime) {
  UNSIGNED_LONGS_EQUAL(29, RowsWithin(cost, 0.0399, 512));
  UNSIGNED_LONGS_EQUAL(512, RowsWithin(cost, 10, 512));
  UNSIGNED_LONGS_EQUAL(1, RowsWithin(cost, 0.001, 512));
  UNSIGNED_LONGS_EQUAL(1, RowsWithin(cost, 10, 1));
  UNSIGNED_LONGS_EQUAL(512, RowsWithin(StepCost(), 0.040, 512));  // nothing is known yet
}

TEST(StepLimits, BatchWorkAloneIsNotLimited) {
  now.interactive_lately = false;
  CheckLimits(512, 512);
}

TEST(StepLimits, NeitherIsAnythingWithoutABudget) {
  now.budget_seconds = 0;
  now.prefilling = 1;
  CheckLimits(512, 512);
}

TEST(StepLimits, BetweenInteractiveRequestsBatchStepsAreShort) {
  now.budget_seconds = 0.0399;
  CheckLimits(512, 29);
}

TEST(StepLimits, ABudgetOfLessThanARowStillGetsTheRowsThatCostLittleMore) {
  now.budget_seconds = 0.001;
  CheckLimits(512, 6);  // 16 ms, where one row takes 11
}

TEST(StepLimits, BatchWorkFillsAStepThatDecodes) {
  now.budget_seconds = 0.0399;
  now.decoding = 4;
  CheckLimits(512, 25);
  now.decoding = 40;
  CheckLimits(512, 0);
  now.steps_without_batch = kStepsWithoutBatch;
  CheckLimits(512 - 29, 29);
}

TEST(StepLimits, BatchWorkWaitsForAnInteractivePromptButNotForLong) {
  now.budget_seconds = 0.0399;
  now.prefilling = 1;
  for (now.steps_without_batch = 0; now.steps_without_batch < kStepsWithoutBatch;
       ++now.steps_without_batch) {
    CheckLimits(512, 0);
  }
  CheckLimits(512 - 29, 29);
  now.budget_seconds = 10;
  CheckLimits(256, 256);
}

TEST(StepLimits, BatchWorkThatIsNotCutHasAStepOfItsOwnThen) {
  now.budget_seconds = 0.0399;
  now.whole = true;
  CheckLimits(512, 29);
  now.prefilling = 1;
  CheckLimits(512, 0);
  now.steps_without_batch = kStepsWithoutBatch;
  CheckLimits(0, 29);
}
