// Models with recurrent state over the fake backend: one block per sequence, from admission to end.
#include <random>

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::engine::GenerateRequest;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::Prompt;
using minnow::test::Request;

namespace {

FakeEngineOptions Hybrid() {
  FakeEngineOptions options;
  options.model.recurrent = true;
  options.model.windows = {0, 40};
  return options;
}

void CheckTogether(const FakeEngineOptions& options, size_t n) {
  FakeEngine fake(options);
  std::mt19937 rng(7);
  std::vector<std::pair<GenerateRequest, AskedGenerate>> asked;
  for (size_t i = 0; i < n; ++i) {
    GenerateRequest request = Request(Prompt(1 + rng() % 200, rng()), 1 + rng() % 12);
    asked.emplace_back(request, Ask(fake.engine(), request));
  }
  for (const auto& [request, answer] : asked) CheckTokens(Expected(request), answer.Wait());
  fake.CheckAtRest();
}

}  // namespace

TEST_GROUP(RecurrentState){};

TEST(RecurrentState, ServesSequencesThatComeAndGo) { CheckTogether(Hybrid(), 150); }

TEST(RecurrentState, ChunksDoNotMatter) {
  for (const uint32_t step_tokens : {100u, 7u}) {
    FakeEngineOptions options = Hybrid();
    options.engine.step_tokens = step_tokens;
    CheckTogether(options, 30);
  }
}

TEST(RecurrentState, IsReservedAtAdmissionAndFreedByCancelling) {
  FakeEngineOptions options = Hybrid();
  options.backend.manual = true;
  options.instance.max_seqs = 2;
  FakeEngine fake(options);
  UNSIGNED_LONGS_EQUAL(2, fake.instance().n_pages(2));
  const AskedGenerate first = Ask(fake.engine(), Request(Prompt(5, 1), 100));
  const GenerateRequest small = Request(Prompt(6, 2), 2);
  const AskedGenerate second = Ask(fake.engine(), small), third = Ask(fake.engine(), small);
  while (!fake.backend.InFlight()) std::this_thread::yield();
  CHECK(fake.backend.CompleteNext());
  fake.engine().Cancel(first.id);
  while (third.answer->count() == 0) {
    // A step that is done may not have been delivered yet, and no other may follow it.
    if (fake.backend.InFlight()) {
      CHECK(fake.backend.CompleteNext());
    } else {
      std::this_thread::yield();
    }
  }
  CHECK(first.Wait().finish_reason == minnow::engine::FinishReason::kCancelled);
  CheckTokens(Expected(small), second.Wait());
  CheckTokens(Expected(small), third.Wait());
  fake.CheckAtRest();
}

TEST(RecurrentState, TakesAQuarterOfMemoryAtMost) {
  for (const auto& [memory, blocks] :
       {std::pair<uint64_t, uint32_t>{1 << 17, 28}, {uint64_t{1} << 40, 64}}) {
    FakeEngineOptions options = Hybrid();
    options.backend.memory_total = memory;
    FakeEngine fake(options);
    UNSIGNED_LONGS_EQUAL(blocks, fake.instance().n_pages(2));
  }
}
