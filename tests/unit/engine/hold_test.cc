// Pinned prefixes: they stay while others come and go, give way to who cannot run otherwise, and
// leave the cache and come back as they were.
#include "engine/fake_engine.h"
#include "engine/prefix_state.h"

using minnow::engine::AdapterId;
using minnow::engine::ColumnSizes;
using minnow::engine::Engine;
using minnow::engine::GenerateRequest;
using minnow::engine::RequestId;
using minnow::engine::TokenId;
using minnow::test::AnswerThrough;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedHold;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeAdapter;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::Hold;
using minnow::test::Prompt;
using minnow::test::Request;

namespace {

using minnow::Code;
using minnow::Status;
using Tokens = std::vector<TokenId>;

FakeEngineOptions Pages(uint32_t pages, const std::vector<uint32_t>& windows = {0}) {
  FakeEngineOptions options;
  options.model.n_ctx = 256;
  options.model.windows = windows;
  options.instance.kv_tokens = pages * 32;
  options.engine.step_tokens = 64;
  return options;
}

Tokens About(Tokens document, uint32_t number) {
  const Tokens question = Prompt(10, 100 + number);
  document.insert(document.end(), question.begin(), question.end());
  document.back() = static_cast<TokenId>(number);
  return document;
}

// Enough to throw all else out of a small cache.
void Flood(Engine& engine) {
  for (uint32_t i = 0; i < 6; ++i) {
    const GenerateRequest request = Request(Prompt(100, 1000 + i), 10);
    CheckTokens(Expected(request), Ask(engine, request).Wait());
  }
}

uint32_t CachedOf(Engine& engine, const Tokens& prompt) {
  const GenerateRequest request = Request(prompt, 4);
  const AskedGenerate asked = Ask(engine, request);
  CheckTokens(Expected(request), asked.Wait());
  return asked.Wait().usage.cached_tokens;
}

// What comes after a cancellation is seen after it.
void GiveUp(Engine& engine, RequestId hold) {
  engine.Cancel(hold);
  CHECK_OK(Ask(engine, Request({5}, 1)).Wait().status);
}

using Columns = std::vector<std::vector<float>>;

Columns Export(Engine& engine, RequestId hold, size_t n_tokens) {
  Columns columns;
  for (const size_t size : ColumnSizes(engine.instance(), n_tokens)) {
    std::vector<float> values(size);
    CHECK_OK(engine.ExportColumn(hold, columns.size(), values));
    columns.push_back(std::move(values));
  }
  return columns;
}

minnow::Result<RequestId> Import(Engine& engine, const Tokens& tokens, const Columns& columns,
                                 AdapterId adapter = 0) {
  return engine.ImportPrefix(tokens, adapter, [&](size_t c, std::span<float> out) {
    std::copy(columns[c].begin(), columns[c].end(), out.begin());
    return Status();
  });
}

}  // namespace

TEST_GROUP(Hold) { const Tokens document = Prompt(100, 1); };

TEST(Hold, StaysWhereOthersAreEvicted) {
  for (const bool pinned : {false, true}) {
    FakeEngine fake(Pages(12));
    AskedHold hold = Hold(fake.engine(), document);
    CHECK_OK(hold.Wait());
    if (!pinned) fake.engine().Cancel(hold.id);
    Flood(fake.engine());
    UNSIGNED_LONGS_EQUAL(pinned ? 100 : 0, CachedOf(fake.engine(), About(document, 1)));
    UNSIGNED_LONGS_EQUAL(pinned, fake.engine().stats().holds);
    GiveUp(fake.engine(), hold.id);
    GiveUp(fake.engine(), hold.id);
    fake.CheckAtRest();
  }
}

TEST(Hold, ItsPagesAreThoseOfTheQuestionsAboutIt) {
  FakeEngine fake(Pages(12));
  const AskedHold hold = Hold(fake.engine(), document);
  CHECK_OK(hold.Wait());
  for (uint32_t i = 0; i < 4; ++i) {
    UNSIGNED_LONGS_EQUAL(100, CachedOf(fake.engine(), About(document, i)));
  }
  fake.executor.Call([] {});
  UNSIGNED_LONGS_EQUAL(4, fake.engine().stats().pages_used);
  GiveUp(fake.engine(), hold.id);
  fake.CheckAtRest();
}

TEST(Hold, MoreThanHalfTheCacheIsRefusedWithTheCounts) {
  FakeEngine fake(Pages(12));
  const AskedHold first = Hold(fake.engine(), document),
                  second = Hold(fake.engine(), Prompt(64, 2));
  CHECK_OK(first.Wait());
  CHECK_OK(second.Wait());
  const AskedHold third = Hold(fake.engine(), Prompt(10, 3));
  CHECK_ERROR(Code::kExhausted, "2 others take 192 tokens of the 192", third.Wait());
  GiveUp(fake.engine(), second.id);
  CHECK_OK(Hold(fake.engine(), Prompt(10, 3)).Wait());
  Flood(fake.engine());
}

TEST(Hold, GivesWayToARequestThatCannotRunOtherwise) {
  FakeEngine fake(Pages(8));
  const AskedHold hold = Hold(fake.engine(), document);
  CHECK_OK(hold.Wait());
  const GenerateRequest large = Request(Prompt(200, 7), 40);
  CheckTokens(Expected(large), Ask(fake.engine(), large).Wait());
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().holds);
  CHECK_ERROR(Code::kNotFound, "gone", fake.engine().FindHeld(hold.id).status());
  // What it held is computed again, and nobody is told anything wrong.
  CachedOf(fake.engine(), About(document, 1));
  fake.CheckAtRest();
}

TEST(Hold, ThroughAnAdapterGoesWithIt) {
  FakeEngineOptions options = Pages(12);
  options.model.adapters = true;
  FakeEngine fake(options);
  const auto adapter = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), 9));
  CHECK_OK(adapter.status());
  const AskedHold hold = Hold(fake.engine(), document, *adapter);
  CHECK_OK(hold.Wait());
  UNSIGNED_LONGS_EQUAL(*adapter, fake.engine().FindHeld(hold.id)->adapter);
  UNSIGNED_LONGS_EQUAL(0, CachedOf(fake.engine(), About(document, 1)));
  GenerateRequest request = Request(About(document, 1), 4);
  request.adapter = *adapter;
  const AskedGenerate asked = Ask(fake.engine(), request);
  CheckTokens(Expected(request, 64, AnswerThrough(9)), asked.Wait());
  UNSIGNED_LONGS_EQUAL(100, asked.Wait().usage.cached_tokens);
  UNSIGNED_LONGS_EQUAL(1, fake.engine().adapter_stats(*adapter).holds);
  CHECK_OK(fake.engine().UnloadAdapter(*adapter));
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().adapters);
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().holds);
  CHECK_ERROR(Code::kNotFound, "its adapter was unloaded",
              fake.engine().FindHeld(hold.id).status());
  GiveUp(fake.engine(), hold.id);  // whoever pinned it need not know
  fake.CheckAtRest();
}

TEST(Hold, OfAnAdapterThatIsUnloadedInAnyWayLeavesItsPlace) {
  FakeEngineOptions options = Pages(12);
  options.model.adapters = true;
  options.instance.adapter_slots = 1;
  options.backend.manual = true;
  FakeEngine fake(options);
  const auto finish = [&](const AskedHold& hold) {
    while (hold.answer->count() == 0) {
      if (fake.backend.InFlight()) fake.backend.CompleteNext();
      std::this_thread::yield();
    }
  };
  const auto load = [&] {  // the place comes free between two steps
    auto adapter = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), 9));
    while (adapter.status().code() == Code::kUnavailable) {
      adapter = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), 9));
    }
    CHECK_OK(adapter.status());
    return *adapter;
  };
  // Unloaded while it is held, and while it is computed.
  const AdapterId first = load();
  const AskedHold held = Hold(fake.engine(), document, first);
  finish(held);
  CHECK_OK(held.Wait());
  fake.engine().UnloadAdapterSoon(first);
  const AdapterId second = load();
  const AskedHold computed = Hold(fake.engine(), document, second);
  while (!fake.backend.InFlight()) std::this_thread::yield();
  fake.engine().UnloadAdapterSoon(second);
  finish(computed);
  CHECK_OK(computed.Wait());
  load();
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().holds);
  fake.CheckAtRest();
}

TEST(Hold, ThatGivesWayLetsGoOfItsAdapter) {
  FakeEngineOptions options = Pages(8);
  options.model.adapters = true;
  FakeEngine fake(options);
  const auto adapter = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), 9));
  CHECK_OK(adapter.status());
  CHECK_OK(Hold(fake.engine(), document, *adapter).Wait());
  const GenerateRequest large = Request(Prompt(200, 7), 40);
  CheckTokens(Expected(large), Ask(fake.engine(), large).Wait());
  UNSIGNED_LONGS_EQUAL(0, fake.engine().adapter_stats(*adapter).holds);
}

TEST(Hold, CancelledWhileItIsComputedLeavesNothing) {
  FakeEngineOptions options = Pages(12);
  options.backend.manual = true;
  FakeEngine fake(options);
  const AskedHold hold = Hold(fake.engine(), document);
  while (!fake.backend.InFlight()) std::this_thread::yield();
  fake.engine().Cancel(hold.id);
  fake.backend.CompleteNext();
  CHECK_ERROR(Code::kCancelled, "cancelled", hold.Wait());
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(0, fake.engine().stats().holds);
}

TEST(Hold, EndsWithTheEngine) {
  FakeEngine fake(Pages(12));
  CHECK_OK(Hold(fake.engine(), document).Wait());
  fake.Shutdown();
  fake.CheckNoViolation();
}

TEST(Hold, IsNotForRecurrentState) {
  FakeEngineOptions options = Pages(12);
  options.model.recurrent = true;
  FakeEngine fake(options);
  CHECK_ERROR(Code::kUnsupported, "of one position",
              fake.engine().Hold({document, {}, {}, 0, {}}).status());
}

TEST(Hold, LeavesTheCacheAndComesBack) {
  for (const std::vector<uint32_t>& windows :
       {std::vector<uint32_t>{0}, std::vector<uint32_t>{0, 40}, std::vector<uint32_t>{0, 64, 33}}) {
    for (const size_t n : {1, 31, 32, 33, 64, 100, 128}) {
      FakeEngine fake(Pages(16, windows));
      const Tokens prefix = Prompt(n, 1);
      const AskedHold hold = Hold(fake.engine(), prefix);
      CHECK_OK(hold.Wait());
      const auto held = fake.engine().FindHeld(hold.id);
      CHECK_OK(held.status());
      CHECK(held->tokens == prefix);
      const Columns columns = Export(fake.engine(), hold.id, n);
      fake.engine().Cancel(hold.id);
      const auto other = fake.Create();
      Engine engine(fake.executor, *other);
      const auto back = Import(engine, prefix, columns);
      CHECK_OK(back.status());
      // A page is not copied for a few tokens.
      const size_t known = n % 32 < 4 ? n - n % 32 : n;
      UNSIGNED_LONGS_EQUAL(known, CachedOf(engine, About(prefix, 1)));
      CHECK(Export(engine, *back, n) == columns);
      GiveUp(engine, *back);
      fake.CheckAtRest();
    }
  }
}

TEST(Hold, ThatCannotComeBackLeavesNothing) {
  FakeEngine fake(Pages(12));
  const AskedHold hold = Hold(fake.engine(), document);
  CHECK_OK(hold.Wait());
  const Columns columns = Export(fake.engine(), hold.id, document.size());
  GiveUp(fake.engine(), hold.id);
  const auto broken = fake.engine().ImportPrefix(document, 0, [](size_t column, std::span<float>) {
    return column < 2 ? Status() : Status(Code::kCorrupt, "broken off");
  });
  CHECK_ERROR(Code::kCorrupt, "broken off", broken.status());
  CHECK_ERROR(Code::kNotFound, "adapter 5", Import(fake.engine(), document, columns, 5).status());
  CHECK_ERROR(Code::kOutOfRange, "exceed", Import(fake.engine(), Prompt(300, 1), {}).status());
  fake.CheckAtRest();
  // Nothing of the half that came back is taken for the whole.
  UNSIGNED_LONGS_EQUAL(100, CachedOf(fake.engine(), About(document, 1)));
}
