#include "engine/turns.h"

#include <CppUTest/TestHarness.h>

#include <array>

using minnow::engine::NextTurn;
using minnow::engine::Turn;

TEST_GROUP(Turns) {
  std::array<Turn, 3> turns;
  std::array<int, 3> steps{};

  // Steps of these lengths, by model; 0: it has no work.
  void Run(int n, std::array<double, 3> seconds, std::array<bool, 3> interactive = {}) {
    Turn* const all[] = {&turns[0], &turns[1], &turns[2]};
    for (int i = 0; i < n; ++i) {
      for (size_t m = 0; m < 3; ++m) turns[m].has_work = seconds[m] > 0;
      const size_t next = NextTurn(all);
      CHECK(seconds[next] > 0);
      ++steps[next];
      turns[next].Charge(seconds[next], interactive[next]);
    }
  }
};

TEST(Turns, EachModelHasTheSameTimeWhateverItsStepsTake) {
  Run(1100, {0.010, 0.001, 0});
  CHECK(steps[0] >= 99);
  CHECK(steps[0] <= 101);
  LONGS_EQUAL(0, steps[2]);
}

TEST(Turns, OneThatComesBackHasNoClaimToWhatItDidNotUse) {
  Run(1000, {0.001, 0.001, 0});
  steps = {};
  Run(30, {0.001, 0.001, 0.001});
  for (const int n : steps) LONGS_EQUAL(10, n);
}

TEST(Turns, NorDoesItPayForWhatNobodyElseWanted) {
  Run(1000, {1, 0, 0});
  Run(10, {0, 0.001, 0});
  steps = {};
  Run(300, {0.001, 0.001, 0});
  CHECK(steps[0] >= 95);  // a tenth of a second behind, at most
}

TEST(Turns, InteractiveWorkHasEightNinthsAtMost) {
  Run(900, {0.001, 0.001, 0}, {true, false, false});
  CHECK(steps[0] >= 799);
  CHECK(steps[0] <= 801);
}
