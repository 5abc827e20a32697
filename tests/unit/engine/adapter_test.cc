// Adapters loaded and unloaded while the engine serves.
#include <atomic>
#include <random>
#include <thread>

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::Result;
using minnow::engine::AdapterId;
using minnow::engine::FinishReason;
using minnow::engine::GenerateRequest;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::test::AnswerThrough;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedScore;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeAdapter;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::Prompt;
using minnow::test::Request;

using namespace std::chrono_literals;

namespace {

FakeEngineOptions WithAdapters(uint32_t n_slots = 3) {
  FakeEngineOptions options;
  options.model.adapters = true;
  options.instance.adapter_slots = n_slots;
  return options;
}

AdapterId Load(FakeEngine& fake, int32_t mark) {
  Result<AdapterId> id = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), mark));
  if (!id.ok()) FAIL(id.status().message().c_str());
  return *id;
}

GenerateRequest Through(AdapterId adapter, GenerateRequest request) {
  request.adapter = adapter;
  return request;
}

void CheckAnswer(const GenerateRequest& request, int32_t mark, const AskedGenerate& asked) {
  const auto answer = mark ? AnswerThrough(mark) : minnow::test::FavouriteAnswer;
  CheckTokens(Expected(request, 64, answer), asked.Wait());
}

}  // namespace

TEST_GROUP(EngineAdapters){};

TEST(EngineAdapters, RequestsOfOneBatchRunThroughDifferentAdapters) {
  FakeEngine fake(WithAdapters());
  const AdapterId ids[] = {0, Load(fake, 100), Load(fake, 200)};
  std::vector<std::tuple<GenerateRequest, int32_t, AskedGenerate>> sent;
  for (uint32_t i = 0; i < 9; ++i) {
    const GenerateRequest r = Through(ids[i % 3], Request(Prompt(40 + i, 7), 12));
    sent.emplace_back(r, static_cast<int32_t>(100 * (i % 3)), Ask(fake.engine(), r));
  }
  for (const auto& [request, mark, asked] : sent) CheckAnswer(request, mark, asked);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(2, fake.engine().stats().adapters);
  UNSIGNED_LONGS_EQUAL(4, fake.engine().stats().adapter_bytes);
}

TEST(EngineAdapters, ScoresGoThroughThemToo) {
  FakeEngine fake(WithAdapters());
  const AdapterId id = Load(fake, 100);
  ScoreRequest base{Prompt(5, 1), {{-1, 3}, {0, 4}}, {}, {}}, through = base;
  through.adapter = id;
  const AskedScore a = Ask(fake.engine(), base), b = Ask(fake.engine(), through);
  CHECK_OK(a.Wait().status);
  CHECK_OK(b.Wait().status);
  CHECK(a.Wait().logprobs[0] != b.Wait().logprobs[0]);
  CHECK(a.Wait().logprobs[1] != b.Wait().logprobs[1]);
}

TEST(EngineAdapters, AnUnloadedOneServesWhatHasBegunAndNothingElse) {
  FakeEngineOptions options = WithAdapters();
  options.backend.manual = true;
  FakeEngine fake(options);
  AdapterId id = 0;
  {
    std::thread loader([&] { id = Load(fake, 100); });
    loader.join();
  }
  const GenerateRequest request = Through(id, Request(Prompt(5, 1), 240));
  const AskedGenerate asked = Ask(fake.engine(), request);
  CHECK(fake.backend.CompleteNext());  // it runs
  UNSIGNED_LONGS_EQUAL(1, fake.engine().adapter_stats(id).requests);
  CHECK(fake.engine().adapter_stats(id).bytes > 0);
  std::atomic<bool> unloaded = false;
  std::thread unload([&] {
    CHECK_OK(fake.engine().UnloadAdapter(id));
    unloaded = true;
  });
  // No step ends before the adapter is refused, which shows in requests that are too late anyway.
  GenerateRequest late = request;
  late.deadline = minnow::engine::Clock::now();
  while (fake.engine().Generate(late).ok()) std::this_thread::sleep_for(1ms);
  // Between two steps, whichever they are.
  while (!unloaded) {
    if (fake.backend.InFlight()) fake.backend.CompleteNext();
    std::this_thread::sleep_for(1ms);
  }
  unload.join();

  CHECK_ERROR(Code::kNotFound, "adapter 1 is not loaded", fake.engine().Generate(request).status());
  CHECK_ERROR(Code::kNotFound, "adapter 1 is not loaded", fake.engine().UnloadAdapter(id));
  UNSIGNED_LONGS_EQUAL(1, fake.backend.AdaptersHeld());
  while (asked.answer->count() == 0) {
    if (fake.backend.InFlight()) fake.backend.CompleteNext();
    std::this_thread::yield();
  }
  CheckAnswer(request, 100, asked);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.backend.AdaptersHeld());
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().adapters);
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().adapter_bytes);
}

TEST(EngineAdapters, StepsComeBetweenThePartsOfThoseThatAreLoaded) {
  for (const uint32_t n : {1, 2}) {  // at once
    FakeEngineOptions options = WithAdapters();
    options.model.windows = {0, 0, 0, 0};
    options.backend.manual = true;
    options.backend.adapter_delay = 10ms;  // more than is done between two steps
    FakeEngine fake(options);
    const GenerateRequest request = Request(Prompt(5, 1), 240);
    const AskedGenerate asked = Ask(fake.engine(), request);
    CHECK(fake.backend.CompleteNext());  // it runs
    const size_t parts = FakeAdapter(fake.instance(), 100).deltas.size();
    const uint64_t before = fake.backend.counters().runs;
    std::atomic<uint64_t> after = 0;
    std::atomic<uint32_t> left = n;
    std::thread loaders[2];
    for (uint32_t i = 0; i < n; ++i) {
      loaders[i] = std::thread([&, i] {
        Load(fake, 100 + static_cast<int32_t>(i));
        if (--left == 0) after = fake.backend.counters().runs;
      });
    }
    while (after == 0 || asked.answer->count() == 0) {
      if (fake.backend.InFlight()) fake.backend.CompleteNext();
      std::this_thread::sleep_for(after == 0 ? 1ms : 0ms);
    }
    for (uint32_t i = 0; i < n; ++i) loaders[i].join();
    CHECK(after - before >= n * parts - 1);
    CheckAnswer(request, 0, asked);
    UNSIGNED_LONGS_EQUAL(n, fake.engine().stats().adapters);
    UNSIGNED_LONGS_EQUAL(n * parts, fake.engine().stats().adapter_bytes);
    fake.CheckAtRest();
  }
}

TEST(EngineAdapters, AWaitingRequestKeepsItsOwn) {
  FakeEngineOptions options = WithAdapters();
  options.instance.max_seqs = 1;
  FakeEngine fake(options);
  const AdapterId id = Load(fake, 100);
  const GenerateRequest first = Request(Prompt(50, 1), 40),
                        second = Through(id, Request(Prompt(50, 2), 5));
  const AskedGenerate a = Ask(fake.engine(), first), b = Ask(fake.engine(), second);
  CHECK_OK(fake.engine().UnloadAdapter(id));
  CheckAnswer(first, 0, a);
  CheckAnswer(second, 100, b);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.backend.AdaptersHeld());
}

TEST(EngineAdapters, ACancelledRequestLetsGoOfIt) {
  FakeEngine fake(WithAdapters());
  const AdapterId id = Load(fake, 100);
  const AskedGenerate asked = Ask(fake.engine(), Through(id, Request(Prompt(50, 1), 200)));
  fake.engine().Cancel(asked.id);
  CHECK_OK(fake.engine().UnloadAdapter(id));
  asked.Wait();
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.backend.AdaptersHeld());
}

TEST(EngineAdapters, PlacesAreLimitedAndUsedAgainUnderNewNumbers) {
  FakeEngine fake(WithAdapters(2));
  const AdapterId first = Load(fake, 100), second = Load(fake, 200);
  CHECK_ERROR(Code::kUnavailable, "all 2 places for adapters are taken; unload one",
              fake.engine().LoadAdapter(FakeAdapter(fake.instance(), 300)).status());
  CHECK_OK(fake.engine().UnloadAdapter(first));
  const AdapterId third = Load(fake, 300);
  CHECK(third != first && third != second);
  for (const auto& [id, mark] : {std::pair{second, 200}, {third, 300}}) {
    const GenerateRequest request = Through(id, Request(Prompt(9, 1), 6));
    CheckAnswer(request, mark, Ask(fake.engine(), request));
  }
  CHECK_ERROR(Code::kNotFound, "adapter 1 is not loaded",
              fake.engine().Generate(Through(first, Request(Prompt(9, 1), 6))).status());
}

TEST(EngineAdapters, WhatCannotBeLoadedLeavesThePlaceFreeAndTheBaseServing) {
  FakeEngine fake(WithAdapters(1));
  const minnow::model::Adapter adapter = FakeAdapter(fake.instance(), 100);
  const GenerateRequest request = Request(Prompt(9, 1), 6);
  for (size_t filled = 0; filled < adapter.deltas.size(); ++filled) {  // until there is no memory
    fake.backend.FailNextAdapter(static_cast<uint32_t>(filled));
    CHECK_ERROR(Code::kExhausted, "injected into adapters_set",
                fake.engine().LoadAdapter(adapter).status());
    UNSIGNED_LONGS_EQUAL(0, fake.backend.AdaptersHeld());
    UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().adapters);
    UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().adapter_bytes);
    CheckAnswer(request, 0, Ask(fake.engine(), request));
  }
  const GenerateRequest through = Through(Load(fake, 100), request);
  CheckAnswer(through, 100, Ask(fake.engine(), through));
  fake.CheckNoViolation();
}

TEST(EngineAdapters, AnEngineThatGoesTakesThemAlong) {
  FakeEngine fake(WithAdapters());
  const AdapterId id = Load(fake, 100);
  const AskedGenerate asked = Ask(fake.engine(), Through(id, Request(Prompt(50, 1), 200)));
  fake.Shutdown();
  asked.Wait();
  fake.CheckNoViolation();
}

TEST(EngineAdapters, LoadingAndUnloadingUnderLoadChangesNoAnswer) {
  FakeEngineOptions options = WithAdapters(4);
  options.backend.adapter_delay = 3ms;  // so that loading goes by parts
  options.engine.step_tokens = 48;
  options.instance.max_seqs = 10;
  options.instance.kv_tokens = 24 * 32;
  FakeEngine fake(options);
  // Each client has one adapter of its own at a time, or none.
  const auto client = [&](uint32_t seed) {
    std::mt19937 rng(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(rng() % n); };
    std::vector<std::tuple<GenerateRequest, int32_t, AskedGenerate>> sent;
    AdapterId id = 0;
    int32_t mark = 0;
    for (int i = 0; i < 300; ++i) {
      if (below(10) == 0) {
        if (id) CHECK_OK(fake.engine().UnloadAdapter(id));
        id = 0;
        mark = static_cast<int32_t>(below(2) * (1000 * seed + 2 + static_cast<uint32_t>(i)));
        if (mark) {
          auto loaded = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), mark));
          // All places may be taken by what others unloaded and still use.
          if (!loaded.ok()) CHECK(loaded.status().code() == Code::kUnavailable);
          id = loaded.ok() ? *loaded : 0;
          if (!id) mark = 0;
        }
      }
      GenerateRequest r =
          Through(id, Request(Prompt(1 + below(60), below(1u << 30)), 1 + below(20)));
      if (below(2)) r.sampling = {.temperature = 3, .seed = below(100)};
      sent.emplace_back(r, mark, Ask(fake.engine(), r));
      if (below(15) == 0) fake.engine().Cancel(std::get<2>(sent.back()).id);
      if (below(20) == 0) std::get<2>(sent[below(static_cast<uint32_t>(sent.size()))]).Wait();
    }
    if (id) CHECK_OK(fake.engine().UnloadAdapter(id));
    for (const auto& [request, of, asked] : sent) {
      if (asked.Wait().finish_reason == FinishReason::kCancelled) continue;
      CheckAnswer(request, of, asked);
    }
  };
  std::thread threads[3];
  for (uint32_t i = 0; i < 3; ++i) threads[i] = std::thread(client, i + 1);
  for (std::thread& t : threads) t.join();
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.backend.AdaptersHeld());
}
