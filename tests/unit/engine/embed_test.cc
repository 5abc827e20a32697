// Encoders over the fake backend: a sequence is one step and gives one vector.
#include <random>

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::engine::EmbedRequest;
using minnow::engine::LogitsRequest;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedEmbed;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FavouriteAnswer;
using minnow::test::Prompt;
using minnow::test::Request;

namespace {

FakeEngineOptions Encoder() {
  FakeEngineOptions options;
  options.model.is_encoder = true;
  return options;
}

void CheckEmbedding(const std::vector<TokenId>& tokens, const AskedEmbed& asked) {
  CHECK_OK(asked.Wait().status);
  std::vector<float> expected(8);
  FavouriteAnswer(tokens, expected);
  CHECK(expected == asked.Wait().embedding);
}

}  // namespace

TEST_GROUP(Embed){};

TEST(Embed, EachTextGivesItsVectorWhateverRunsBesideIt) {
  FakeEngineOptions options = Encoder();
  options.instance.max_seqs = 5;
  FakeEngine fake(options);
  std::mt19937 rng(3);
  std::vector<std::pair<std::vector<TokenId>, AskedEmbed>> asked;
  for (int i = 0; i < 60; ++i) {
    const std::vector<TokenId> tokens = Prompt(1 + rng() % 256, rng());
    asked.emplace_back(tokens, Ask(fake.engine(), EmbedRequest{tokens, Priority::kBatch, {}}));
  }
  for (const auto& [tokens, answer] : asked) CheckEmbedding(tokens, answer);
  fake.CheckAtRest();
}

TEST(Embed, ASequenceIsNeverCut) {
  FakeEngineOptions options = Encoder();
  options.instance.max_tokens = 16;  // the context counts for more
  options.engine.step_tokens = 7;
  options.backend.manual = true;
  FakeEngine fake(options);
  const std::vector<TokenId> longest = Prompt(256, 1), half = Prompt(128, 2),
                             short_one = Prompt(3, 3);
  const AskedEmbed a = Ask(fake.engine(), EmbedRequest{longest, Priority::kInteractive, {}});
  while (!fake.backend.CompleteNext()) std::this_thread::yield();
  CheckEmbedding(longest, a);
  const AskedEmbed b = Ask(fake.engine(), EmbedRequest{half, Priority::kInteractive, {}});
  while (!fake.backend.InFlight()) std::this_thread::yield();
  // Behind the step in flight: two fit into the next one, the third waits.
  const AskedEmbed c = Ask(fake.engine(), EmbedRequest{half, Priority::kInteractive, {}});
  const AskedEmbed d = Ask(fake.engine(), EmbedRequest{longest, Priority::kInteractive, {}});
  const AskedEmbed e = Ask(fake.engine(), EmbedRequest{short_one, Priority::kInteractive, {}});
  while (e.answer->count() + d.answer->count() < 2) fake.backend.CompleteNext();
  CheckEmbedding(half, b);
  CheckEmbedding(half, c);
  CheckEmbedding(longest, d);
  CheckEmbedding(short_one, e);
  const auto runs = fake.backend.runs();
  UNSIGNED_LONGS_EQUAL(4, runs.size());
  LONGS_EQUAL(256, runs[0].n_tokens);
  LONGS_EQUAL(128, runs[1].n_tokens);
  LONGS_EQUAL(131, runs[2].n_tokens);
  LONGS_EQUAL(256, runs[3].n_tokens);
  fake.CheckAtRest();
}

TEST(Embed, RefusesWhatItCannotHold) {
  FakeEngine fake(Encoder());
  CHECK_ERROR(Code::kOutOfRange, "257 tokens",
              fake.engine().Embed({Prompt(257, 1), Priority::kBatch, {}}).status());
  CHECK_ERROR(Code::kInvalid, "empty", fake.engine().Embed({{}, Priority::kBatch, {}}).status());
  CHECK_ERROR(Code::kInvalid, "token 64",
              fake.engine().Embed({{64}, Priority::kBatch, {}}).status());
}

TEST(Embed, AnEncoderDoesNothingElse) {
  FakeEngine encoder(Encoder());
  CHECK_ERROR(Code::kUnsupported, "embeds",
              encoder.engine().Generate(Request(Prompt(3, 1), 1)).status());
  CHECK_ERROR(Code::kUnsupported, "embeds",
              encoder.engine().Score({Prompt(3, 1), {{-1, 1}}, Priority::kBatch, {}}).status());
  LogitsRequest logits;
  logits.tokens = Prompt(3, 1);
  CHECK_ERROR(Code::kUnsupported, "embeds", encoder.engine().Logits(logits).status());
}

TEST(Embed, OthersDoNotEmbed) {
  FakeEngine generator;
  CHECK_ERROR(Code::kUnsupported, "generates",
              generator.engine().Embed({Prompt(3, 1), Priority::kBatch, {}}).status());
}

// A step of 200 rows takes the 40 ms that it may; what else the machine does only makes it longer.
TEST(Embed, StepsOfBatchWorkAreShortWhileInteractiveTextsCome) {
  for (const bool interactive : {true, false}) {
    FakeEngineOptions options = Encoder();
    options.instance.max_tokens = 2048;
    options.backend.row_delay = std::chrono::microseconds(200);
    FakeEngine fake(options);
    std::vector<std::pair<std::vector<TokenId>, AskedEmbed>> asked;
    const auto ask = [&](size_t n, Priority priority) {
      const std::vector<TokenId> tokens = Prompt(n, static_cast<uint32_t>(asked.size()));
      asked.emplace_back(tokens, Ask(fake.engine(), EmbedRequest{tokens, priority, {}}));
    };
    ask(10, interactive ? Priority::kInteractive : Priority::kBatch);
    CheckEmbedding(asked[0].first, asked[0].second);
    for (int i = 0; i < 16; ++i) ask(i == 9 ? 256 : 50, Priority::kBatch);
    for (const auto& [tokens, answer] : asked) CheckEmbedding(tokens, answer);
    fake.CheckAtRest();
    int64_t longest = 0;
    bool alone = false;
    for (const auto& run : fake.backend.runs()) {
      if (run.n_seqs > 1) longest = std::max(longest, run.n_tokens);
      alone |= run.n_seqs == 1 && run.n_tokens == 256;
    }
    CHECK_EQUAL(interactive, longest <= 200);
    CHECK(!interactive || alone);  // longer than the limit, it has a step of its own
  }
}

TEST(Embed, BatchTextsComeToTheirEndBesideInteractiveOnes) {
  FakeEngineOptions options = Encoder();
  options.backend.row_delay = std::chrono::microseconds(20);
  FakeEngine fake(options);
  const std::vector<TokenId> tokens = Prompt(256, 1), others = Prompt(200, 2);
  // There is always an interactive text, as long as nearly a step.
  std::vector<AskedEmbed> interactive;
  const auto more = [&] {
    interactive.push_back(Ask(fake.engine(), EmbedRequest{others, Priority::kInteractive, {}}));
  };
  for (int i = 0; i < 3; ++i) more();
  const AskedEmbed batch = Ask(fake.engine(), EmbedRequest{tokens, Priority::kBatch, {}});
  for (size_t i = 0; batch.answer->count() == 0; ++i) {
    CheckEmbedding(others, interactive[i]);
    more();
    CHECK(i < 100);
  }
  CheckEmbedding(tokens, batch);
  for (const AskedEmbed& asked : interactive) CheckEmbedding(others, asked);
  fake.CheckAtRest();
}
