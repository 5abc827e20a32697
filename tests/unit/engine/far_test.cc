// Devices that are far away, that get lost, and that run out of memory.
#include <atomic>
#include <random>

#include "build_tree.h"
#include "engine/fake_engine.h"
#include "engine/replay_draft.h"

using minnow::Code;
using minnow::engine::FinishReason;
using minnow::engine::GenerateRequest;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;
using minnow::test::FarBackend;
using minnow::test::FarOptions;
using minnow::test::Prompt;
using minnow::test::Request;
using minnow::test::TokensOf;

namespace {

FakeEngineOptions Far(const FarOptions& far = {}) {
  FakeEngineOptions options;
  options.far = far;
  return options;
}

}  // namespace

TEST_GROUP(Far){};

TEST(Far, MemoryOfItsOwnGivesTheSameTokens) {
  FakeEngineOptions options = Far({.max_delay = std::chrono::microseconds(500), .seed = 7});
  options.model.windows = {0, 40};
  options.engine.step_tokens = 40;
  FakeEngine fake(options);
  std::vector<std::pair<GenerateRequest, AskedGenerate>> asked;
  for (uint32_t i = 0; i < 12; ++i) {
    GenerateRequest request = Request(Prompt(1 + 17 * i, i), 6);
    AskedGenerate one = Ask(fake.engine(), request);
    asked.emplace_back(std::move(request), std::move(one));
  }
  for (const auto& [request, one] : asked) CheckTokens(Expected(request), one.Wait());
  fake.CheckAtRest();
  CHECK(fake.far->buffers() > 0);
}

TEST(Far, EverythingIsGivenBack) {
  FakeInstance fake(Far());
  const uint32_t buffers = fake.far->buffers();
  const auto counters = fake.backend.counters();
  { const auto second = fake.Create(); }
  UNSIGNED_LONGS_EQUAL(buffers, fake.far->buffers());
  UNSIGNED_LONGS_EQUAL(counters.weights, fake.backend.counters().weights);
  UNSIGNED_LONGS_EQUAL(counters.plans, fake.backend.counters().plans);
  UNSIGNED_LONGS_EQUAL(counters.states, fake.backend.counters().states);
}

// Whichever run it is: no token of it or after it, and everybody is told.
TEST(Far, ADeviceLostAtAnyRunEndsEveryRequestAndRefusesMore) {
  for (uint32_t k = 1; k <= 12; ++k) {
    FakeEngineOptions options =
        Far({.max_delay = std::chrono::microseconds(100), .seed = k, .lose_at_run = k});
    options.engine.step_tokens = 20;
    options.instance.max_seqs = 3;
    FakeEngine fake(options);
    std::atomic<int> late_tokens = 0;
    std::vector<std::pair<GenerateRequest, AskedGenerate>> asked;
    for (uint32_t i = 0; i < 8; ++i) {
      GenerateRequest request = Request(Prompt(10 + i, i), 100);
      request.on_token = [&](auto, const auto&) { late_tokens += fake.far->lost(); };
      AskedGenerate one;
      auto taken = request;
      taken.on_done = [answer = one.answer](auto r) { answer->Set(std::move(r)); };
      const auto id = fake.engine().Generate(std::move(taken));
      if (!id.ok()) {  // it was quicker
        CHECK_ERROR(Code::kDeviceLost, "fake: ", id.status());
        continue;
      }
      asked.emplace_back(std::move(request), std::move(one));
    }
    CHECK(!asked.empty());
    for (const auto& [request, one] : asked) {
      CHECK_ERROR(Code::kDeviceLost, "fake: ", one.Wait().status);
      LONGS_EQUAL(FinishReason::kError, one.Wait().finish_reason);
      const std::vector<TokenId> expected = Expected(request), made = TokensOf(one.Wait());
      CHECK(made.size() < k);
      CHECK(std::equal(made.begin(), made.end(), expected.begin()));
    }
    LONGS_EQUAL(0, late_tokens.load());
    CHECK_ERROR(Code::kDeviceLost, "fake: ", fake.engine().Generate(Request({1}, 1)).status());
    fake.CheckAtRest();
    UNSIGNED_LONGS_EQUAL(k, fake.far->runs());
    CHECK_ERROR(Code::kDeviceLost, "lost", fake.TryCreate().status());
  }
}

// The second call must not pass for that of the next step, whose output is not there yet.
TEST(Far, ABackendThatIsDoneTwiceIsStoppedBeforeAWrongToken) {
  for (uint32_t k = 1; k <= 5; ++k) {
    FakeEngine fake(
        Far({.max_delay = std::chrono::microseconds(200), .seed = k, .done_twice_at_run = k}));
    const GenerateRequest request = Request(Prompt(10, 1), 50);
    const AskedGenerate asked = Ask(fake.engine(), request);
    CHECK_ERROR(Code::kInternal, "called done for a run that was over", asked.Wait().status);
    const std::vector<TokenId> expected = Expected(request), made = TokensOf(asked.Wait());
    CHECK(made.size() >= k && made.size() < 50);
    CHECK(std::equal(made.begin(), made.end(), expected.begin()));
    fake.CheckAtRest();
  }
}

TEST(Far, OutOfMemoryAtAnyCallIsToldAndLeaksNothing) {
  FakeEngineOptions options = Far();
  options.model.windows = {0, 40};
  FakeInstance fake(options);
  const auto before = fake.backend.counters();
  const uint32_t buffers = fake.far->buffers();
  uint32_t n = 1;
  for (;; ++n) {
    fake.far->FailAllocation(n);
    const auto instance = fake.TryCreate();
    if (instance.ok()) break;
    CHECK_ERROR(Code::kExhausted, "the test has no memory (1099511627776 bytes needed)",
                instance.status());
    UNSIGNED_LONGS_EQUAL(before.weights, fake.backend.counters().weights);
    UNSIGNED_LONGS_EQUAL(before.plans, fake.backend.counters().plans);
    UNSIGNED_LONGS_EQUAL(before.states, fake.backend.counters().states);
    UNSIGNED_LONGS_EQUAL(buffers, fake.far->buffers());
  }
  CHECK(n > buffers + 4);  // weights, a state, a plan, and each buffer
  STRCMP_EQUAL("", fake.backend.violations().empty() ? "" : fake.backend.violations()[0].c_str());
}

TEST(Far, ADeviceWithoutHostMemoryAndWithoutBuffersIsRefusedByName) {
  minnow::test::FakeBackend fake;
  const FarBackend far(*fake.table(), {});
  mnw_backend table = *far.table();
  table.buffer_create = nullptr;
  auto device = minnow::plugins::Device::Open(table, 0, minnow::plugins::HostServices(), {});
  CHECK_OK(device.status());
  auto built = minnow::test::MakeFakeModel();
  CHECK_OK(built.status());
  minnow::plugins::Device* const devices[] = {&*device};
  CHECK_ERROR(Code::kUnsupported, "device 'fake' has memory of its own",
              minnow::model::Instance::Create(
                  minnow::model::InstanceSource{std::move(built->graph), nullptr, 256}, devices)
                  .status());
}

// A real model cut into parts: attention runs on the near device, where its state is, the rest on
// the far one, so that values travel both ways in every layer. The bits are those of the CPU alone.
TEST(Far, ValuesTravelBetweenDevices) {
  const auto model = minnow::test::LoadModel(minnow::test::GoldenPath("llama.gguf"));
  const std::vector<TokenId> tokens = Prompt(40, 1, 200);
  minnow::test::CpuEngine alone(model);
  const std::vector<float> expected = minnow::test::LogitsOf(alone.engine(), tokens, 40);

  FarOptions options;
  options.refused_op = MNW_OP_attention;
  FarBackend far(minnow::test::CpuTable(), options);
  auto far_device =
      minnow::plugins::Device::Open(*far.table(), 0, minnow::plugins::HostServices(), {1, ""});
  CHECK_OK(far_device.status());
  auto near_device = minnow::test::BuildTreePlugins().OpenDevice("cpu", 1);
  CHECK_OK(near_device.status());
  {
    minnow::plugins::Device* const devices[] = {&*far_device, &*near_device};
    minnow::model::InstanceOptions placed;
    placed.all_claims = true;
    auto instance = minnow::model::Instance::Create(model, devices, placed);
    CHECK_OK(instance.status());
    minnow::engine::Executor executor;
    minnow::engine::Engine engine(executor, **instance);
    const std::vector<float> got = minnow::test::LogitsOf(engine, tokens, 40);
    UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
    CHECK(expected == got);
    // Guesses that were right are kept where the state is.
    minnow::engine::GenerateRequest request = minnow::test::Request(tokens, 40);
    request.ignore_end = true;
    request.speculate = false;
    const auto plain = minnow::test::TokensOf(minnow::test::Ask(alone.engine(), request).Wait());
    request.speculate = true;
    request.draft = std::make_shared<minnow::test::ReplayDraft>(minnow::test::ReplayDraft::Options{
        .prompt = tokens.size(), .answer = plain, .acceptance = 0.8});
    const auto asked = minnow::test::Ask(engine, request);
    minnow::test::CheckTokens(plain, asked.Wait());
    CHECK(asked.Wait().usage.accepted_tokens > 10);
  }
  CHECK(far.runs() > 2);
  UNSIGNED_LONGS_EQUAL(0, far.buffers());
  CHECK(far.violations().empty());
}
