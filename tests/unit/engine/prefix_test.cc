// What a prompt has in common with another is computed once; when pages run short, requests wait
// and are computed again; and none of it shows in an answer.
#include <cstring>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/fake_engine.h"

using minnow::engine::AdapterId;
using minnow::engine::EngineStats;
using minnow::engine::FinishReason;
using minnow::engine::GenerateRequest;
using minnow::engine::LogitsRequest;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::test::AnswerThrough;
using minnow::test::Ask;
using minnow::test::Asked;
using minnow::test::AskedGenerate;
using minnow::test::CheckTokens;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::Expected;
using minnow::test::FakeAdapter;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;
using minnow::test::Prompt;
using minnow::test::Request;
using minnow::test::Taken;

namespace {

using Tokens = std::vector<TokenId>;

Tokens Join(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A document and one of several questions about it, which differ from their first token on.
Tokens Question(const Tokens& document, uint32_t number, size_t n = 10) {
  Tokens question = Prompt(n, 100 + number);
  question[0] = static_cast<TokenId>(number);
  return Join(document, question);
}

// All of them enter the engine between two steps.
std::vector<AskedGenerate> AskTogether(FakeEngine& fake, const std::vector<GenerateRequest>& all) {
  std::vector<AskedGenerate> asked;
  fake.executor.Call([&] {
    for (const GenerateRequest& request : all) asked.push_back(Ask(fake.engine(), request));
  });
  return asked;
}

FakeEngineOptions Long() {
  FakeEngineOptions options;
  options.model.n_ctx = 1024;
  return options;
}

FakeEngineOptions FewPages(uint32_t pages) {
  FakeEngineOptions options;
  options.model.n_ctx = 256;
  options.instance.kv_tokens = pages * 32;
  options.engine.step_tokens = 64;
  return options;
}

}  // namespace

TEST_GROUP(Prefix) { const Tokens document = Prompt(500, 1); };

TEST(Prefix, ThreeStepsOverADocumentPrefillItOnce) {
  for (const std::vector<uint32_t>& windows :
       {std::vector<uint32_t>{0}, std::vector<uint32_t>{0, 40}, std::vector<uint32_t>{0, 64, 33}}) {
    FakeEngineOptions options = Long();
    options.model.windows = windows;
    FakeEngine fake(options);
    uint64_t expected = 500;
    for (uint32_t i = 0; i < 3; ++i) {
      const GenerateRequest request = Request(Question(document, i), 5);
      const AskedGenerate asked = Ask(fake.engine(), request);
      CheckTokens(Expected(request), asked.Wait());
      UNSIGNED_LONGS_EQUAL(i == 0 ? 0 : 500, asked.Wait().usage.cached_tokens);
      expected += 10 + 5 - 1;  // the last token of an answer is never read
    }
    fake.CheckAtRest();
    const EngineStats stats = fake.engine().stats();
    UNSIGNED_LONGS_EQUAL(expected, stats.rows);
    UNSIGNED_LONGS_EQUAL(1000, stats.cached_tokens);
    UNSIGNED_LONGS_EQUAL(1530, stats.prompt_tokens);
  }
}

TEST(Prefix, QuestionsAskedTogetherWaitForTheFirst) {
  for (const uint32_t step_tokens : {512u, 100u, 50u}) {
    FakeEngineOptions options = Long();
    options.engine.step_tokens = step_tokens;
    FakeEngine fake(options);
    std::vector<GenerateRequest> requests;
    for (uint32_t i = 0; i < 4; ++i) requests.push_back(Request(Question(document, i), 1));
    const std::vector<AskedGenerate> asked = AskTogether(fake, requests);
    for (size_t i = 0; i < 4; ++i) CheckTokens(Expected(requests[i]), asked[i].Wait());
    fake.CheckAtRest();
    UNSIGNED_LONGS_EQUAL(500 + 4 * 10, fake.engine().stats().rows);
  }
}

TEST(Prefix, AnIdenticalPromptIsReadAgainForItsLastTokenOnly) {
  FakeEngine fake(Long());
  const GenerateRequest request = Request(document, 3);
  CheckTokens(Expected(request), Ask(fake.engine(), request).Wait());
  const AskedGenerate again = Ask(fake.engine(), request);
  CheckTokens(Expected(request), again.Wait());
  UNSIGNED_LONGS_EQUAL(499, again.Wait().usage.cached_tokens);
}

TEST(Prefix, AnAnswerIsPartOfTheNextPrompt) {
  FakeEngine fake(Long());
  const GenerateRequest first = Request(document, 40);
  const Tokens answer = Expected(first);
  CheckTokens(answer, Ask(fake.engine(), first).Wait());
  const GenerateRequest second = Request(Join(Join(document, answer), Prompt(7, 9)), 3);
  const AskedGenerate asked = Ask(fake.engine(), second);
  CheckTokens(Expected(second), asked.Wait());
  UNSIGNED_LONGS_EQUAL(539, asked.Wait().usage.cached_tokens);
}

TEST(Prefix, ScoresShareThePromptToo) {
  FakeEngine fake(Long());
  const auto score = [&](uint32_t i) {
    const auto asked =
        Ask(fake.engine(),
            ScoreRequest{Question(document, i), {{-1, 3}, {0, 4}}, Priority::kInteractive, {}});
    CHECK_OK(asked.Wait().status);
  };
  score(0);
  score(1);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(500 + 2 * (10 + 1), fake.engine().stats().rows);
}

TEST(Prefix, LogitsOfEveryTokenAreComputed) {
  FakeEngine fake(Long());
  const Tokens text = Prompt(90, 3);
  const std::vector<float> once = LogitsOf(fake.engine(), text, 90);
  CHECK(once == LogitsOf(fake.engine(), text, 90));
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().cached_tokens);
  CHECK(LogitsOf(fake.engine(), text, 20) ==
        std::vector<float>(once.begin() + 70 * 64, once.end()));
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(70, fake.engine().stats().cached_tokens);
}

TEST(Prefix, AnAdapterInTheSamePlaceFindsNothingOfTheLastOne) {
  FakeEngineOptions options = Long();
  options.model.adapters = true;
  options.instance.adapter_slots = 1;
  FakeEngine fake(options);
  for (const int32_t mark : {100, 200}) {
    const auto id = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), mark));
    CHECK_OK(id.status());
    for (uint32_t i = 0; i < 2; ++i) {
      GenerateRequest request = Request(Question(document, i), 5);
      request.adapter = *id;
      const AskedGenerate asked = Ask(fake.engine(), request);
      CheckTokens(Expected(request, 64, AnswerThrough(mark)), asked.Wait());
      UNSIGNED_LONGS_EQUAL(i * 500, asked.Wait().usage.cached_tokens);
      request.adapter = 0;
      CheckTokens(Expected(request), Ask(fake.engine(), request).Wait());
    }
    CHECK_OK(fake.engine().UnloadAdapter(*id));
  }
  fake.CheckAtRest();
}

TEST(Prefix, RecurrentStateIsComputedAnewAndNobodyWaits) {
  FakeEngineOptions options = Long();
  options.model.windows = {0};
  options.model.recurrent = true;
  FakeEngine fake(options);
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 3; ++i) requests.push_back(Request(Question(document, i), 5));
  const std::vector<AskedGenerate> asked = AskTogether(fake, requests);
  for (size_t i = 0; i < 3; ++i) CheckTokens(Expected(requests[i]), asked[i].Wait());
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(3 * 514, fake.engine().stats().rows);
}

TEST(Prefix, ABackendThatCannotCopySharesWholePages) {
  FakeEngineOptions options = Long();
  options.backend.has_state_edit = false;
  options.far.reset();
  FakeEngine fake(options);
  for (uint32_t i = 0; i < 2; ++i) {
    const GenerateRequest request = Request(Question(document, i), 5);
    const AskedGenerate asked = Ask(fake.engine(), request);
    CheckTokens(Expected(request), asked.Wait());
    UNSIGNED_LONGS_EQUAL(i * 480, asked.Wait().usage.cached_tokens);
  }
  fake.CheckAtRest();
}

TEST(Prefix, NothingIsKeptWhereNothingMayBe) {
  FakeEngineOptions options = Long();
  options.engine.prefix_cache_bytes = 0;
  FakeEngine fake(options);
  for (uint32_t i = 0; i < 2; ++i) {
    const GenerateRequest request = Request(Question(document, i), 5);
    CheckTokens(Expected(request), Ask(fake.engine(), request).Wait());
  }
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().pages_kept);
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().cached_tokens);
}

TEST(Prefix, FourContextsAreKeptUnlessToldOtherwise) {
  FakeEngineOptions options;
  options.model.n_ctx = 64;
  FakeEngine fake(options);
  for (uint32_t i = 0; i < 20; ++i) {
    CHECK_OK(Ask(fake.engine(), Request(Prompt(60, i), 2)).Wait().status);
  }
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(4 * 2 * fake.instance().n_groups(), fake.engine().stats().pages_kept);
}

TEST(Prefix, RequestsThatOutgrowTheCacheTakeTurns) {
  FakeEngine fake(FewPages(8));
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 6; ++i) requests.push_back(Request(Prompt(20, i), 230));
  const std::vector<AskedGenerate> asked = AskTogether(fake, requests);
  for (size_t i = 0; i < 6; ++i) CheckTokens(Expected(requests[i]), asked[i].Wait());
  fake.CheckAtRest();
  CHECK(fake.engine().stats().preemptions > 0);
}

TEST(Prefix, NothingIsGivenTwiceAfterAPreemption) {
  FakeEngineOptions options = FewPages(8);
  options.instance.max_out = 16;  // a request for logits stays for many steps
  FakeEngine fake(options);
  const Tokens text = Prompt(200, 1);
  std::vector<size_t> positions;
  Asked<minnow::Status> logits;
  std::vector<AskedGenerate> others;
  fake.executor.Call([&] {
    for (uint32_t i = 0; i < 3; ++i)
      others.push_back(Ask(fake.engine(), Request(Prompt(20, i), 200)));
    LogitsRequest request;
    request.tokens = text;
    request.n_last = 200;
    request.on_logits = [&](size_t position, std::span<const float>) {
      positions.push_back(position);
    };
    request.on_done = [answer = logits.answer](minnow::Status status, minnow::engine::Usage) {
      answer->Set(std::move(status));
    };
    Taken(fake.engine().Logits(std::move(request)));
  });
  CHECK_OK(logits.Wait());
  for (const AskedGenerate& other : others) CHECK_OK(other.Wait().status);
  fake.CheckAtRest();
  CHECK(fake.engine().stats().preemptions > 0);
  UNSIGNED_LONGS_EQUAL(200, positions.size());
  for (size_t i = 0; i < 200; ++i) UNSIGNED_LONGS_EQUAL(i, positions[i]);
}

TEST(Prefix, InteractiveWorkTakesPagesFromBatchWork) {
  FakeEngineOptions options = FewPages(8);
  options.backend.delay = std::chrono::milliseconds(1);  // the question comes in time, however busy
  FakeEngine fake(options);
  // Both of these fit, until they have come far; the question fits when they are gone.
  const GenerateRequest batch = Request(Prompt(20, 1), 200, Priority::kBatch);
  const GenerateRequest other = Request(Prompt(20, 2), 200, Priority::kBatch);
  const GenerateRequest question = Request(Prompt(190, 3), 5);
  std::vector<const char*> order;
  const auto ask = [&](GenerateRequest request, const char* name) {
    AskedGenerate asked;
    request.on_done = [&order, name, answer = asked.answer](minnow::engine::GenerateResult r) {
      order.push_back(name);
      answer->Set(std::move(r));
    };
    asked.id = Taken(fake.engine().Generate(std::move(request)));
    return asked;
  };
  AskedGenerate first, second, third;
  fake.executor.Call([&] {
    first = ask(batch, "batch");
    second = ask(other, "batch");
  });
  while (fake.engine().stats().rows < 60) std::this_thread::yield();
  third = ask(question, "question");
  CheckTokens(Expected(question), third.Wait());
  CheckTokens(Expected(batch), first.Wait());
  CheckTokens(Expected(other), second.Wait());
  STRCMP_EQUAL("question", order[0]);
  fake.CheckAtRest();
}

TEST(Prefix, ARequestThatWaitsAfterAPreemptionCanBeCancelled) {
  FakeEngineOptions options = FewPages(8);
  options.backend.delay = std::chrono::milliseconds(1);
  FakeEngine fake(options);
  std::vector<GenerateRequest> requests;
  for (uint32_t i = 0; i < 4; ++i) requests.push_back(Request(Prompt(20, i), 230));
  const std::vector<AskedGenerate> asked = AskTogether(fake, requests);
  while (fake.engine().stats().preemptions < 2) std::this_thread::yield();
  fake.engine().Cancel(asked[3].id);
  CHECK(asked[3].Wait().finish_reason == FinishReason::kCancelled);
  for (size_t i = 0; i < 3; ++i) CheckTokens(Expected(requests[i]), asked[i].Wait());
  fake.CheckAtRest();
}

// The real backend: the bits after a prefix from the cache are those of one that was computed.
TEST(Prefix, BitsDoNotShowWhatWasCached) {
  for (const char* name : {"llama.gguf", "quantized.gguf", "gemma2.gguf", "mamba2.gguf"}) {
    const auto model = LoadModel(GoldenPath(name));
    CpuOptions options;
    options.instance.max_out = 512;
    CpuEngine alone(model, options);
    CpuEngine warm(model, options);
    const Tokens text = [] {
      Tokens t = Prompt(290, 4, 270);
      for (TokenId& token : t) token += 2;
      return t;
    }();
    for (const size_t shared : {32u, 100u, 257u}) {
      Tokens other(text.begin(), text.begin() + static_cast<ptrdiff_t>(shared));
      other.resize(280, 7);
      LogitsOf(warm.engine(), other, 1);
      CHECK(LogitsOf(alone.engine(), text, 290 - static_cast<uint32_t>(shared)) ==
            LogitsOf(warm.engine(), text, 290 - static_cast<uint32_t>(shared)));
    }
    const bool shares = std::strcmp(name, "mamba2.gguf") != 0;
    CHECK((warm.engine().stats().cached_tokens > 300) == shares);
  }
}
