// How long the refused are told to wait.
#include "service/retry.h"

#include "test_util.h"

namespace minnow::test {
namespace {

using service::CompletionRate;

TEST_GROUP(CompletionRate) {
  CompletionRate rate;
  engine::Clock::time_point now{};

  void Pass(double seconds) {
    now +=
        std::chrono::duration_cast<engine::Clock::duration>(std::chrono::duration<double>(seconds));
  }
  void EndSome(int n, double per_second) {
    for (int i = 0; i < n; ++i) {
      Pass(1 / per_second);
      rate.Ended(now);
    }
  }
};

TEST(CompletionRate, SaysASecondBeforeAnythingHasEnded) {
  DOUBLES_EQUAL(1, rate.SecondsFor(256, now), 0);
}

TEST(CompletionRate, IsWhatIsBeforeOverWhatEndsInASecond) {
  EndSome(2000, 20);
  DOUBLES_EQUAL(5, rate.SecondsFor(100, now), 0.1);
  DOUBLES_EQUAL(0.5, rate.SecondsFor(10, now), 0.01);
}

TEST(CompletionRate, KnowsTheRateLongBeforeItsMemoryIsFull) {
  EndSome(40, 20);
  DOUBLES_EQUAL(5, rate.SecondsFor(100, now), 0.5);
}

TEST(CompletionRate, FollowsAChange) {
  EndSome(2000, 100);
  EndSome(400, 4);
  DOUBLES_EQUAL(2.5, rate.SecondsFor(10, now), 0.1);
}

TEST(CompletionRate, GrowsWhileNothingEnds) {
  EndSome(2000, 100);
  const double before = rate.SecondsFor(100, now);
  Pass(20);
  CHECK(rate.SecondsFor(100, now) > 5 * before);
  Pass(1e5);
  DOUBLES_EQUAL(CompletionRate::kLongest, rate.SecondsFor(100, now), 0);
}

TEST(CompletionRate, StaysInItsBounds) {
  EndSome(10000, 10000);
  DOUBLES_EQUAL(CompletionRate::kShortest, rate.SecondsFor(0, now), 0);
  DOUBLES_EQUAL(CompletionRate::kShortest, rate.SecondsFor(1, now), 0);
  DOUBLES_EQUAL(CompletionRate::kLongest, rate.SecondsFor(1e9, now), 0);
}

TEST(CompletionRate, IsNotConfusedByTimesOutOfOrder) {
  EndSome(100, 10);
  const auto later = now;
  now -= std::chrono::seconds(3);
  rate.Ended(now);
  const double seconds = rate.SecondsFor(10, later);
  CHECK(seconds > 0.5 && seconds < 2);
}

}  // namespace
}  // namespace minnow::test
