// What a step costs, learned from steps whose times are given.
#include "engine/step_cost.h"

#include <CppUTest/TestHarness.h>

using minnow::engine::StepCost;

namespace {

void Observe(StepCost& cost, uint32_t rows, double seconds, int times = 1) {
  for (int i = 0; i < times; ++i) cost.Observe(rows, seconds);
}

}  // namespace

TEST_GROUP(StepCost) { StepCost cost; };

TEST(StepCost, KnowsNothingBeforeTheFirstStep) {
  DOUBLES_EQUAL(0, cost.Seconds(1), 0);
  CHECK(!cost.SeenLately(100, 1000));
}

TEST(StepCost, WhatLiesBetweenIsOnTheLine) {
  Observe(cost, 1, 10);
  Observe(cost, 5, 18);
  Observe(cost, 105, 118);
  DOUBLES_EQUAL(10, cost.Seconds(1), 1e-9);
  DOUBLES_EQUAL(12, cost.Seconds(2), 1e-9);
  DOUBLES_EQUAL(18, cost.Seconds(5), 1e-9);
  DOUBLES_EQUAL(68, cost.Seconds(55), 1e-9);
}

TEST(StepCost, FewerThanSeenTakeTheLeastAndMoreFollowTheLine) {
  Observe(cost, 4, 10);
  DOUBLES_EQUAL(10, cost.Seconds(1), 1e-9);
  DOUBLES_EQUAL(10, cost.Seconds(512), 1e-9);
  Observe(cost, 8, 14);
  DOUBLES_EQUAL(10, cost.Seconds(1), 1e-9);
  DOUBLES_EQUAL(22, cost.Seconds(16), 1e-9);
}

TEST(StepCost, MoreRowsNeverTakeLess) {
  for (uint32_t i = 0; i < 200; ++i) {
    Observe(cost, 1 + i * 37 % 64, 1 + (i * 7919) % 13 + (1 + i * 37 % 64) * 0.05);
    for (uint32_t rows = 1; rows < 80; ++rows) {
      CHECK(cost.Seconds(rows) <= cost.Seconds(rows + 1) + 1e-9);
    }
  }
}

TEST(StepCost, FollowsAMachineThatSlowsDown) {
  Observe(cost, 1, 10, 50);
  Observe(cost, 1, 15, 50);
  DOUBLES_EQUAL(15, cost.Seconds(1), 0.1);
}

TEST(StepCost, OneOutlierChangesLittle) {
  Observe(cost, 1, 10, 20);
  Observe(cost, 1, 5000);
  CHECK(cost.Seconds(1) < 11.3);
}

// Steps of 4 rows were seen long ago, when they were cheap; those of one are seen now.
TEST(StepCost, TheFresherOfTwoThatContradictCountsMore) {
  Observe(cost, 4, 10);
  Observe(cost, 1, 20, 1000);
  CHECK(cost.Seconds(4) > 19);
  CHECK(cost.Seconds(1) > 19);
}

TEST(StepCost, TellsWhetherStepsOfFewRowsWereSeenLately) {
  Observe(cost, 2, 10);
  CHECK(cost.SeenLately(2, 1));
  CHECK(cost.SeenLately(3, 1));
  CHECK(!cost.SeenLately(1, 1));
  Observe(cost, 5, 10, 9);
  CHECK(cost.SeenLately(2, 10));
  CHECK(!cost.SeenLately(2, 9));
}
