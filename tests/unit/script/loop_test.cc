#include "script/loop.h"

#include <atomic>
#include <thread>
#include <vector>

#include "test_util.h"

using minnow::script::Loop;

TEST_GROUP(Loop) {
  std::unique_ptr<minnow::script::Loop> loop;

  void setup() override { loop = std::move(*Loop::Create()); }
  void teardown() override { loop.reset(); }
};

TEST(Loop, DeliversEveryLetterOfManyThreads) {
  constexpr int kThreads = 4, kLetters = 5000;
  int received = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kLetters; ++i) {
        loop->Post([&] {
          if (++received == kThreads * kLetters) loop->Stop();
        });
      }
    });
  }
  loop->Run();
  for (std::thread& thread : threads) thread.join();
  LONGS_EQUAL(kThreads * kLetters, received);
}

TEST(Loop, DeliversInTheOrderOfOneSender) {
  std::vector<int> order;
  for (int i = 0; i < 3; ++i) loop->Post([&, i] { order.push_back(i); });
  loop->Stop();
  loop->Run();
  CHECK(order == (std::vector<int>{0, 1, 2}));
}

TEST(Loop, DropsLettersToARetiredAddress) {
  bool delivered = false;
  const Loop::Address address = loop->NewAddress();
  loop->Post(address, [&] { delivered = true; });
  loop->After(0, address, [&] { delivered = true; });
  loop->Work([&] { return [&] { delivered = true; }; }, address);
  loop->Retire(address);
  loop->After(0.01, loop->NewAddress(), [&] { loop->Stop(); });
  loop->WaitForWork();
  loop->Run();
  CHECK_FALSE(delivered);
}

TEST(Loop, WorksOnAnotherThreadAndAnswersOnItsOwn) {
  std::thread::id worker, answer;
  loop->Work(
      [&] {
        worker = std::this_thread::get_id();
        return [&] {
          answer = std::this_thread::get_id();
          loop->Stop();
        };
      },
      loop->NewAddress());
  loop->Run();
  CHECK(worker != std::this_thread::get_id());
  CHECK(answer == std::this_thread::get_id());
}

TEST(Loop, MayGoWithTimersAndWorkUnderWay) {
  std::atomic<bool> worked = false;
  const Loop::Address address = loop->NewAddress();
  loop->After(3600, address, [] {});
  loop->Work(
      [&]() -> Loop::Function {
        worked = true;
        return [] {};
      },
      address);
  loop.reset();
  CHECK(worked);
}
