// The text form of budgets.
#include "script/budget.h"

#include <cmath>

#include "test_util.h"

using minnow::Code;
using minnow::Status;
using minnow::script::Budget;
using minnow::script::ReadBudget;

TEST_GROUP(Budget){};

TEST(Budget, SetsWhatIsNamedAndLeavesTheRest) {
  Budget budget;
  CHECK_OK(
      ReadBudget("memory=2M,instructions=5e8,lua=0.5,time=60,tokens=20000,output=64K", &budget));
  LONGS_EQUAL(2 << 20, budget.memory_bytes);
  LONGS_EQUAL(500'000'000, budget.instructions);
  DOUBLES_EQUAL(0.5, budget.lua_seconds, 0);
  DOUBLES_EQUAL(60, budget.seconds, 0);
  LONGS_EQUAL(20'000, budget.tokens);
  LONGS_EQUAL(64 << 10, budget.output_bytes);
  Budget other;
  CHECK_OK(ReadBudget("tokens=0", &other));
  LONGS_EQUAL(0, other.tokens);
  LONGS_EQUAL(Budget().memory_bytes, other.memory_bytes);
}

TEST(Budget, NoneIsNoLimit) {
  Budget budget;
  CHECK_OK(ReadBudget("memory=none,instructions=none,lua=none,time=none,tokens=1e300", &budget));
  CHECK(budget.memory_bytes == SIZE_MAX && budget.instructions == UINT64_MAX);
  CHECK(budget.tokens == UINT64_MAX);
  CHECK(std::isinf(budget.lua_seconds) && std::isinf(budget.seconds));
}

TEST(Budget, NamesWhatItCannotRead) {
  Budget budget;
  CHECK_ERROR(Code::kInvalid, "unknown 'speed' (known: memory, instructions",
              ReadBudget("speed=1", &budget));
  CHECK_ERROR(Code::kInvalid, "unknown ''", ReadBudget("tokens=1,", &budget));
  CHECK_ERROR(Code::kInvalid, "memory should be bytes such as 64M or none, got '64X'",
              ReadBudget("memory=64X", &budget));
  for (const char* text : {"time=", "time", "time=x", "time=-1", "time=1s", "time=nan", "time=inf",
                           "time=1K", "time=1=2"}) {
    CHECK_ERROR(Code::kInvalid, "time should be a number or none", ReadBudget(text, &budget));
  }
}
