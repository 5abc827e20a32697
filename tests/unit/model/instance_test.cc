#include "model/instance.h"

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::Result;
using minnow::model::Instance;
using minnow::model::InstanceOptions;
using minnow::model::StepInputs;
using minnow::test::FakeBackend;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;
using minnow::test::FavouriteToken;

namespace {

// A sequence of two rows in the first page, with the logits of the last.
StepInputs TwoRows(const Instance& instance) {
  StepInputs in;
  in.tokens = {5, 6};
  in.positions = {0, 1};
  in.seq = {0, 0};
  in.parent = {-1, 0};
  in.seq_len = {0};
  in.out_rows = {1};
  in.slots = {{0, 1}};
  in.pages = {std::vector<int32_t>(instance.page_columns(), -1)};
  in.pages[0][0] = 0;
  return in;
}

}  // namespace

TEST_GROUP(Instance){};

TEST(Instance, HandsEachWeightOverOnceAndGivesEverythingBack) {
  FakeInstance fake;
  const FakeBackend* backend = &fake.backend;
  {
    const auto second = fake.Create();
    UNSIGNED_LONGS_EQUAL(2, backend->counters().states);
    UNSIGNED_LONGS_EQUAL(2, backend->counters().plans);
    UNSIGNED_LONGS_EQUAL(4, backend->counters().weights_handed);  // two tensors, two instances
    CHECK(second->weight_bytes() > 0);
  }
  UNSIGNED_LONGS_EQUAL(1, backend->counters().states);
  UNSIGNED_LONGS_EQUAL(1, backend->counters().plans);
  UNSIGNED_LONGS_EQUAL(2, backend->counters().weights);
  UNSIGNED_LONGS_EQUAL(0, backend->violations().size());
}

TEST(Instance, PagesFollowFromKvTokensOrFromWhatAllSequencesNeed) {
  FakeEngineOptions options;
  options.model.n_ctx = 100;
  options.instance.max_seqs = 5;
  {
    FakeInstance fake(options);
    UNSIGNED_LONGS_EQUAL(4, fake.instance().page_columns());
    UNSIGNED_LONGS_EQUAL(20, fake.instance().n_pages(0));
  }
  options.instance.kv_tokens = 65;
  FakeInstance fake(options);
  UNSIGNED_LONGS_EQUAL(3, fake.instance().n_pages(0));
}

TEST(Instance, KnowsTheWindowOfEachGroup) {
  FakeEngineOptions options;
  options.model.windows = {0, 40};
  FakeInstance fake(options);
  UNSIGNED_LONGS_EQUAL(2, fake.instance().n_groups());
  UNSIGNED_LONGS_EQUAL(0, fake.instance().window(0));
  UNSIGNED_LONGS_EQUAL(40, fake.instance().window(1));
}

TEST(Instance, RunsAStep) {
  FakeInstance fake;
  const StepInputs in = TwoRows(fake.instance());
  CHECK_OK(fake.instance().Start(in));
  const Result<std::span<const float>> logits = fake.instance().Wait();
  CHECK_OK(logits.status());
  UNSIGNED_LONGS_EQUAL(64, logits->size());
  const int32_t context[] = {5, 6};
  DOUBLES_EQUAL(10, (*logits)[static_cast<size_t>(FavouriteToken(context, 64))], 0);
}

TEST(Instance, TellsAFailureOfTheCallAndOfTheStep) {
  FakeInstance fake;
  const StepInputs in = TwoRows(fake.instance());
  fake.backend.FailNextRun(MNW_INTERNAL, false);
  CHECK_ERROR(Code::kInternal, "injected into run", fake.instance().Start(in));
  fake.backend.FailNextRun(MNW_INTERNAL, true);
  CHECK_OK(fake.instance().Start(in));
  CHECK_ERROR(Code::kInternal, "injected into the step", fake.instance().Wait().status());
  CHECK_OK(fake.instance().Start(in));
  CHECK_OK(fake.instance().Wait().status());
}

TEST(Instance, GivesBackWhatItHasWhenTheBackendRefuses) {
  FakeInstance fake;
  fake.backend.FailNextState();
  CHECK_ERROR(Code::kExhausted, "fake", fake.TryCreate().status());
  fake.backend.FailNextPlan(MNW_UNSUPPORTED);
  CHECK_ERROR(Code::kUnsupported, "injected into plan", fake.TryCreate().status());
  UNSIGNED_LONGS_EQUAL(1, fake.backend.counters().states);
  UNSIGNED_LONGS_EQUAL(2, fake.backend.counters().weights);
  UNSIGNED_LONGS_EQUAL(0, fake.backend.violations().size());
}

TEST(Instance, RefusesAStepOfNothing) {
  FakeInstance fake;
  for (uint32_t InstanceOptions::*size :
       {&InstanceOptions::max_tokens, &InstanceOptions::max_seqs, &InstanceOptions::max_out}) {
    InstanceOptions options;
    options.*size = 0;
    CHECK_ERROR(Code::kInvalid, "at least 1", fake.TryCreate(options).status());
  }
}
