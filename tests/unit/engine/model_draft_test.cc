// Drafts by another model: answers and pages are those of generation without, whatever it guesses,
// and it saves the steps that it should. Steps are counted, never timed.
#include "engine/model_draft.h"

#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "build_tree.h"
#include "engine/fake_engine.h"
#include "formats/gguf_writer.h"

using minnow::Code;
using minnow::engine::AdapterId;
using minnow::engine::DraftNode;
using minnow::engine::DraftSequence;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::ModelDraft;
using minnow::engine::Sampling;
using minnow::engine::TokenId;
using minnow::test::AnswerThrough;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::CheckTokens;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::Expected;
using minnow::test::FakeAdapter;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;
using minnow::test::FakeModelOptions;
using minnow::test::FakeRun;
using minnow::test::FavouriteAnswer;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::Prompt;
using minnow::test::Request;
using minnow::test::TempDir;
using minnow::test::TokensOf;

namespace {

using Tokens = std::vector<TokenId>;

constexpr int32_t kMark = 7;  // of the adapter

Tokens TokensOf(const std::vector<DraftNode>& nodes) {
  Tokens tokens;
  for (size_t i = 0; i < nodes.size(); ++i) {
    LONGS_EQUAL(static_cast<int32_t>(i) - 1, nodes[i].parent);
    tokens.push_back(nodes[i].token);
  }
  return tokens;
}

void CheckEqual(const Tokens& expected, const Tokens& got) {
  UNSIGNED_LONGS_EQUAL(expected.size(), got.size());
  for (size_t i = 0; i < got.size(); ++i) LONGS_EQUAL(expected[i], got[i]);
}

Tokens Joined(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A draft without the engine round it.
class Alone : public FakeInstance {
 public:
  explicit Alone(const FakeEngineOptions& o = {}, const ModelDraft::Options& draft_options = {})
      : FakeInstance(o), draft_instance_(*TryCreate(o.draft_instance)) {
    auto created = ModelDraft::Create(instance(), *draft_instance_, draft_options);
    CHECK_OK(created.status());
    draft_ = *std::move(created);
  }

  ModelDraft& draft() { return *draft_; }
  std::unique_ptr<DraftSequence> Begin(const Sampling& sampling = {}) {
    return std::make_unique<DraftSequence>(*draft_, sampling);
  }

  // What it guesses of each: (sequence, tokens).
  std::vector<Tokens> Propose(const std::vector<std::pair<DraftSequence*, Tokens>>& of, size_t most,
                              size_t rows = 512) {
    std::vector<std::vector<DraftNode>> nodes(of.size());
    std::vector<ModelDraft::Ask> asks;
    for (size_t i = 0; i < of.size(); ++i) {
      asks.push_back({of[i].first, of[i].second, most, rows, &nodes[i]});
    }
    draft_->Propose(asks);
    std::vector<Tokens> guesses;
    for (const auto& n : nodes) guesses.push_back(TokensOf(n));
    return guesses;
  }
  Tokens Propose(DraftSequence& sequence, const Tokens& tokens, size_t most, size_t rows = 512) {
    return Propose({{&sequence, tokens}}, most, rows)[0];
  }

  void CheckAtRest() {
    UNSIGNED_LONGS_EQUAL(0, draft_->pages_used());
    const auto wrong = far ? far->violations() : backend.violations();
    if (!wrong.empty()) FAIL(wrong[0].c_str());
    if (!backend.violations().empty()) FAIL(backend.violations()[0].c_str());
  }

 private:
  std::unique_ptr<minnow::model::Instance> draft_instance_;
  std::unique_ptr<ModelDraft> draft_;
};

Tokens Greedy(const Tokens& tokens, size_t n) { return minnow::test::GreedyTokens(tokens, n, 64); }

// The golden llama with more tokens, whose logits are three times those of others: a model that may
// say them does.
std::string WriteLonger(const std::string& path, uint32_t n_more,
                        minnow::text::PieceType type = minnow::text::PieceType::kUnused) {
  constexpr const char* kTokens = "tokenizer.ggml.tokens";
  constexpr const char* kTypes = "tokenizer.ggml.token_type";
  const auto file = minnow::formats::GgufReader::Open(GoldenPath("llama.gguf"));
  CHECK_OK(file.status());
  minnow::formats::GgufWriter writer;
  for (const auto& entry : file->metadata()) writer.Set(entry);
  const auto texts = **file->FindStrings(kTokens);
  std::vector<std::string> tokens(texts.begin(), texts.end());
  std::vector<int32_t> types = **file->FindI32s(kTypes);
  const auto before = static_cast<uint32_t>(tokens.size());
  for (uint32_t i = 0; i < n_more; ++i) {
    tokens.push_back(fmt::format("[PAD{}]", before + i));
    types.push_back(static_cast<int32_t>(type));
  }
  writer.SetStrings(kTokens, tokens);
  writer.SetI32s(kTypes, types);
  writer.SetU32("llama.vocab_size", before + n_more);
  std::vector<float> table;
  for (const auto& t : file->tensors()) {
    std::vector<int64_t> ne(t.ne.begin(), t.ne.begin() + t.n_dims);
    std::span<const std::byte> data = t.data;
    if (t.name == "token_embd.weight") {
      table.resize(data.size() / sizeof(float));
      std::memcpy(table.data(), data.data(), data.size());
      const auto width = static_cast<size_t>(ne[0]);
      for (size_t i = 0; i < n_more * width; ++i) table.push_back(3 * table[20 * width + i]);
      ne[1] += n_more;
      data = std::as_bytes(std::span(table));
    }
    writer.AddTensor(t.name, t.type, ne, data);
  }
  CHECK_OK(writer.Write(path));
  return path;
}

// An engine whose draft guesses before every step, whether it pays or not.
FakeEngineOptions Insisting() {
  FakeEngineOptions options;
  options.draft.emplace().insists = true;
  options.model.adapters = true;
  return options;
}

AdapterId Load(FakeEngine& fake) {
  const auto id = fake.engine().LoadAdapter(FakeAdapter(fake.instance(), kMark));
  CHECK_OK(id.status());
  return *id;
}

// Completes steps, of the model and of its draft, until all have ended.
void CompleteAll(FakeEngine& fake, const std::vector<AskedGenerate>& asked) {
  for (const AskedGenerate& a : asked) {
    while (a.answer->count() == 0) {
      if (fake.backend.InFlight()) CHECK(fake.backend.CompleteNext());
      std::this_thread::yield();
    }
  }
}

// Several together, of which the draft guesses all, some and nothing.
void CheckTogether(const FakeEngineOptions& options) {
  FakeEngine fake(options);
  const AdapterId adapter = Load(fake);
  std::mt19937 rng(5);
  std::vector<GenerateRequest> requests;
  std::vector<AskedGenerate> asked;
  for (const uint32_t max_tokens : {1, 2, 3, 17, 31, 33, 70, 100}) {
    for (const bool adapted : {false, true}) {
      GenerateRequest request = Request(Prompt(1 + rng() % 90, rng()), max_tokens);
      if (rng() % 2) request.sampling = {.temperature = 3, .top_p = 0.9f, .seed = rng() % 100};
      if (adapted) request.adapter = adapter;
      requests.push_back(request);
      asked.push_back(Ask(fake.engine(), request));
    }
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto answer =
        requests[i].adapter ? AnswerThrough(kMark) : minnow::test::FakeAnswer(FavouriteAnswer);
    CheckTokens(Expected(requests[i], 64, answer), asked[i].Wait());
  }
  fake.CheckAtRest();
}

}  // namespace

TEST_GROUP(ModelDraft){};

TEST(ModelDraft, GuessesWhatTheModelSays) {
  Alone alone;
  const Tokens prompt = Prompt(50, 1);
  auto s = alone.Begin();
  CheckEqual(Greedy(prompt, 10), alone.Propose(*s, prompt, 10));
  UNSIGNED_LONGS_EQUAL(10, alone.draft().steps());  // the prompt's, and one for each token more
  s.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, DrawsWithTheNoiseOfItsRequest) {
  Alone alone;
  GenerateRequest request = Request(Prompt(50, 1), 12);
  request.sampling = {.temperature = 4, .seed = 3};
  const Tokens expected = Expected(request);
  CHECK(expected != Greedy(request.prompt, 12));
  auto s = alone.Begin(request.sampling);
  CheckEqual(expected, alone.Propose(*s, request.prompt, 12));
  s.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, OverwritesWhatSamplingDidNotTake) {
  for (const std::vector<uint32_t>& windows : {std::vector<uint32_t>{0}, {0, 40, 33}}) {
    FakeEngineOptions options;
    options.model.windows = windows;
    Alone alone(options);
    std::mt19937 rng(3);
    auto s = alone.Begin();
    Tokens tokens = Prompt(29, 1);
    while (tokens.size() < 200) {
      const size_t most = 1 + rng() % 12;
      const Tokens guess = alone.Propose(*s, tokens, most);
      CheckEqual(Greedy(tokens, most), guess);
      // Some of them are taken, and something else comes, perhaps more than one step's.
      const size_t taken = rng() % (most + 1);
      tokens.insert(tokens.end(), guess.begin(), guess.begin() + static_cast<ptrdiff_t>(taken));
      for (size_t i = 0; i <= rng() % 3; ++i) tokens.push_back(static_cast<TokenId>(rng() % 64));
    }
    s.reset();
    alone.CheckAtRest();
  }
}

TEST(ModelDraft, ComputesOnlyWhatItDoesNotHave) {
  Alone alone;
  auto s = alone.Begin();
  const Tokens prompt = Prompt(100, 1), guess = alone.Propose(*s, prompt, 4);
  const uint64_t before = alone.backend.counters().rows;
  UNSIGNED_LONGS_EQUAL(100 + 3, before);
  // All taken: the last guess and the token after it. One taken: the token after it.
  alone.Propose(*s, Joined(Joined(prompt, guess), {1}), 1);
  UNSIGNED_LONGS_EQUAL(before + 2, alone.backend.counters().rows);
  alone.Propose(*s, Joined(Joined(prompt, guess), {1, 2}), 3);
  UNSIGNED_LONGS_EQUAL(before + 2 + 3, alone.backend.counters().rows);
  s.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, AskedAgainForTheSameTokensItSaysTheSame) {
  FakeEngineOptions options;
  options.model.windows = {0, 40, 33};
  Alone alone(options);
  auto s = alone.Begin();
  for (const size_t length : {72u, 73u, 104u, 105u, 106u}) {  // where pages of the windows go
    const Tokens tokens = Prompt(length, 1);
    const Tokens first = alone.Propose(*s, tokens, 5);
    CheckEqual(first, alone.Propose(*s, tokens, 5));
  }
  s.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, RequestsShareItsSteps) {
  Alone alone;
  std::vector<std::unique_ptr<DraftSequence>> sequences;
  std::vector<std::pair<DraftSequence*, Tokens>> of;
  for (uint32_t i = 0; i < 5; ++i) {
    sequences.push_back(alone.Begin());
    of.emplace_back(sequences.back().get(), Prompt(10 + 7 * i, i));
  }
  const std::vector<Tokens> guesses = alone.Propose(of, 6);
  for (size_t i = 0; i < 5; ++i) CheckEqual(Greedy(of[i].second, 6), guesses[i]);
  UNSIGNED_LONGS_EQUAL(6, alone.draft().steps());
  for (const FakeRun& run : alone.backend.runs()) LONGS_EQUAL(5, run.n_seqs);
  sequences.clear();
  alone.CheckAtRest();
}

TEST(ModelDraft, CatchesUpInStepsOfLimitedSize) {
  Alone alone({}, {.step_tokens = 64});
  auto s = alone.Begin(), other = alone.Begin();
  const Tokens prompt = Prompt(150, 1), quick = Prompt(9, 2);
  for (const size_t behind : {150u, 95u}) {
    UNSIGNED_LONGS_EQUAL(behind, alone.draft().Look(*s, prompt).behind);
    // Who has little to catch up with does not wait.
    const auto guesses = alone.Propose({{s.get(), prompt}, {other.get(), quick}}, 3);
    UNSIGNED_LONGS_EQUAL(0, guesses[0].size());
    CheckEqual(Greedy(quick, 3), guesses[1]);
  }
  CheckEqual(Greedy(prompt, 3), alone.Propose(*s, prompt, 3));
  for (const FakeRun& run : alone.backend.runs()) CHECK(run.n_tokens <= 64);
  // A request may have fewer rows, though never less than a page.
  s = alone.Begin();
  const Tokens third = Prompt(70, 3);
  UNSIGNED_LONGS_EQUAL(0, alone.Propose(*s, third, 3, 0).size());
  UNSIGNED_LONGS_EQUAL(70 - 32, alone.draft().Look(*s, third).behind);
  s.reset();
  other.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, WhatPromptsHaveInCommonIsComputedOnce) {
  Alone alone;
  const Tokens document = Prompt(128, 1);
  auto first = alone.Begin();
  alone.Propose(*first, Joined(document, Prompt(5, 2)), 2);
  const uint64_t before = alone.backend.counters().rows;
  auto second = alone.Begin();
  const Tokens tokens = Joined(document, Prompt(6, 3));
  UNSIGNED_LONGS_EQUAL(6, alone.draft().Look(*second, tokens).behind);
  CheckEqual(Greedy(tokens, 2), alone.Propose(*second, tokens, 2));
  UNSIGNED_LONGS_EQUAL(before + 6 + 1, alone.backend.counters().rows);
  // Also by one who comes when both are gone.
  first.reset();
  second.reset();
  UNSIGNED_LONGS_EQUAL(0, alone.draft().pages_used());
  auto third = alone.Begin();
  CheckEqual(Greedy(tokens, 2), alone.Propose(*third, tokens, 2));
  CHECK(alone.backend.counters().rows < before + 6 + 1 + 6 + 1 + 1);
  third.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, GuessesNothingBeyondItsContext) {
  Alone alone;  // of 256
  auto s = alone.Begin();
  CheckEqual(Greedy(Prompt(250, 1), 7), alone.Propose(*s, Prompt(250, 1), 16));
  s = alone.Begin();
  UNSIGNED_LONGS_EQUAL(1, alone.Propose(*s, Prompt(256, 1), 16).size());
  s = alone.Begin();
  UNSIGNED_LONGS_EQUAL(0, alone.draft().Look(*s, Prompt(257, 1)).most);
  UNSIGNED_LONGS_EQUAL(0, alone.Propose(*s, Prompt(257, 1), 16).size());
  s.reset();
  alone.CheckAtRest();
}

// The first to come is served, and nobody holds what is of no use.
TEST(ModelDraft, WherePagesAreShortTheLastGoWithout) {
  FakeEngineOptions options;
  options.draft_instance.kv_tokens = 32 * 5;
  Alone alone(options);
  auto first = alone.Begin(), second = alone.Begin();
  Tokens a = Prompt(60, 1), b = Prompt(60, 2);
  auto guesses = alone.Propose({{first.get(), a}, {second.get(), b}}, 4);
  CheckEqual(Greedy(a, 4), guesses[0]);
  CheckEqual(Greedy(b, 4), guesses[1]);  // two pages each, and both need a third
  for (int i = 0; i < 50; ++i) {
    a.push_back(Greedy(a, 1)[0]);
    b.push_back(Greedy(b, 1)[0]);
    guesses = alone.Propose({{first.get(), a}, {second.get(), b}}, 4);
    CheckEqual(Greedy(a, 4), guesses[0]);
    if (!guesses[1].empty()) CheckEqual(Greedy(b, 4), guesses[1]);
  }
  UNSIGNED_LONGS_EQUAL(0, guesses[1].size());
  first.reset();
  CheckEqual(Greedy(b, 4), alone.Propose(*second, b, 4));
  second.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, WhoIsNotAskedForGivesUpItsPages) {
  FakeEngineOptions options;
  options.draft_instance.kv_tokens = 32 * 4;
  Alone alone(options, {.prefix_cache_bytes = 0});
  auto idle = alone.Begin(), busy = alone.Begin();
  const Tokens a = Prompt(60, 1), b = Prompt(100, 2);
  CheckEqual(Greedy(a, 2), alone.Propose(*idle, a, 2));
  int waited = 0;
  while (alone.Propose(*busy, b, 2).empty()) CHECK(++waited < 100);
  CHECK(waited > 0);
  CheckEqual(Greedy(b, 2), alone.Propose(*busy, b, 2));
  UNSIGNED_LONGS_EQUAL(60, alone.draft().Look(*idle, a).behind);
  idle.reset();
  busy.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, IsNotAskedAgainWhenAStepFailed) {
  for (const bool late : {false, true}) {
    Alone alone;
    auto s = alone.Begin();
    const Tokens tokens = Prompt(60, 1);
    alone.Propose(*s, tokens, 2);
    alone.backend.FailNextRun(MNW_INTERNAL, late);
    const Tokens more = Joined(tokens, {1, 2});
    UNSIGNED_LONGS_EQUAL(0, alone.Propose(*s, more, 4).size());
    UNSIGNED_LONGS_EQUAL(0, alone.draft().Look(*s, more).most);
    UNSIGNED_LONGS_EQUAL(0, alone.Propose(*s, more, 4).size());
    UNSIGNED_LONGS_EQUAL(0, alone.draft().pages_used());
  }
}

TEST(ModelDraft, BrokenLogitsAreNoGuess) {
  FakeEngineOptions options;
  options.backend.answer = [](std::span<const int32_t> context, std::span<float> out) {
    FavouriteAnswer(context, out);
    if (context.size() < 42) return;
    std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
  };
  Alone alone(options);
  auto s = alone.Begin();
  UNSIGNED_LONGS_EQUAL(2, alone.Propose(*s, Prompt(40, 1), 8).size());
  s.reset();
  alone.CheckAtRest();
}

TEST(ModelDraft, RefusesWhatCannotDraft) {
  FakeInstance fake;
  const auto create = [&](const FakeModelOptions& draft) {
    const auto instance = fake.TryCreate({}, draft);
    CHECK_OK(instance.status());
    return ModelDraft::Create(fake.instance(), **instance, {}).status();
  };
  CHECK_OK(create({}));
  CHECK_ERROR(Code::kUnsupported, "encoder", create({.is_encoder = true}));
  CHECK_ERROR(Code::kUnsupported, "recurrent", create({.recurrent = true}));
  CHECK_ERROR(Code::kUnsupported, "it has 32 tokens and the model 64", create({.n_vocab = 32}));
}

TEST(ModelDraft, RefusesWhereNothingCanBeChecked) {
  FakeEngineOptions recurrent, level_a;
  recurrent.model.recurrent = true;
  level_a.backend.repeatability = 'A';
  for (const FakeEngineOptions& options : {recurrent, level_a}) {
    FakeInstance fake(options);
    const auto draft = fake.TryCreate({}, {});
    CHECK_OK(draft.status());
    CHECK_ERROR(Code::kUnsupported, "cannot check guesses",
                ModelDraft::Create(fake.instance(), **draft, {}).status());
  }
}

TEST(ModelDraft, EveryGuessThatIsRightSavesAStep) {
  for (const float temperature : {0.0f, 2.0f}) {
    FakeEngine fake(Insisting());
    GenerateRequest request = Request(Prompt(30, 1), 100);
    request.sampling = {.temperature = temperature, .seed = 4};
    const auto asked = Ask(fake.engine(), request);
    CheckTokens(Expected(request), asked.Wait());
    fake.CheckAtRest();
    // The prompt's step gives one token, five give 17 each, and the last the 14 that are left.
    UNSIGNED_LONGS_EQUAL(7, fake.engine().stats().steps);
    UNSIGNED_LONGS_EQUAL(93, asked.Wait().usage.drafted_tokens);
    UNSIGNED_LONGS_EQUAL(93, asked.Wait().usage.accepted_tokens);
    UNSIGNED_LONGS_EQUAL(93, fake.draft().steps());
  }
}

TEST(ModelDraft, TheAnswerIsTheSameWhereItIsAlwaysWrong) {
  FakeEngine fake(Insisting());
  GenerateRequest request = Request(Prompt(30, 1), 100);
  request.adapter = Load(fake);
  const auto asked = Ask(fake.engine(), request);
  CheckTokens(Expected(request, 64, AnswerThrough(kMark)), asked.Wait());
  fake.CheckAtRest();
  const auto& usage = asked.Wait().usage;
  CHECK(usage.drafted_tokens > 500);
  CHECK(usage.accepted_tokens < 20);
  UNSIGNED_LONGS_EQUAL(100 - usage.accepted_tokens, fake.engine().stats().steps);
}

TEST(ModelDraft, TheAnswerIsTheSameWhereItIsRightNowAndThen) {
  FakeEngineOptions options = Insisting();
  // The adapter changes every third token or so.
  options.backend.answer = [](std::span<const int32_t> context, std::span<float> out) {
    const bool adapted = !context.empty() && context[0] == kMark;
    const bool differs = adapted && context.back() % 3 == 0;
    FavouriteAnswer(context.subspan(adapted && !differs ? 1 : 0), out);
  };
  const auto answer = [&](std::span<const int32_t> context, std::span<float> out) {
    std::vector<int32_t> marked = {kMark};
    marked.insert(marked.end(), context.begin(), context.end());
    options.backend.answer(marked, out);
  };
  FakeEngine fake(options);
  // The draft must not see a mark where there is none.
  Tokens prompt = Prompt(30, 1);
  prompt[0] = 1;
  GenerateRequest request = Request(prompt, 150);
  request.adapter = Load(fake);
  const auto asked = Ask(fake.engine(), request);
  CheckTokens(Expected(request, 64, answer), asked.Wait());
  fake.CheckAtRest();
  const auto& usage = asked.Wait().usage;
  CHECK(usage.accepted_tokens > 50);
  CHECK(usage.drafted_tokens > usage.accepted_tokens);
  UNSIGNED_LONGS_EQUAL(150 - usage.accepted_tokens, fake.engine().stats().steps);
}

TEST(ModelDraft, AnswersOfManyAreTheSame) {
  FakeEngineOptions options = Insisting();
  CheckTogether(options);
  options.model.windows = {0, 40, 33};
  CheckTogether(options);
  options.draft->step_tokens = 16;
  CheckTogether(options);
}

TEST(ModelDraft, AnswersAreTheSameWhereItsPagesAreShort) {
  for (const uint32_t pages : {8, 9, 20}) {
    FakeEngineOptions options = Insisting();
    options.draft_instance.kv_tokens = 32 * pages;
    CheckTogether(options);
  }
}

TEST(ModelDraft, AnswersAreTheSameWhereStepsHaveFewRows) {
  FakeEngineOptions options = Insisting();
  options.model.windows = {0, 40, 33};
  options.instance.max_out = 5;
  options.instance.max_seqs = 3;
  options.engine.step_tokens = 7;
  options.instance.kv_tokens = 32 * 14;
  options.draft_instance.max_out = 2;
  options.draft_instance.max_seqs = 2;
  CheckTogether(options);
}

TEST(ModelDraft, WhoIsPreemptedGoesOn) {
  FakeEngineOptions options = Insisting();
  options.instance.kv_tokens = 32 * 5;
  options.backend.manual = true;  // both are there from the second step on
  FakeEngine fake(options);
  std::vector<GenerateRequest> requests;
  std::vector<AskedGenerate> asked;
  for (uint32_t i = 0; i < 2; ++i) {
    requests.push_back(Request(Prompt(20, i), 100));
    asked.push_back(Ask(fake.engine(), requests[i]));
  }
  CompleteAll(fake, asked);
  for (uint32_t i = 0; i < 2; ++i) CheckTokens(Expected(requests[i]), asked[i].Wait());
  CHECK(fake.engine().stats().preemptions > 0);
  fake.CheckAtRest();
}

TEST(ModelDraft, ARequestCancelledInTheMiddleGivesBackItsPages) {
  for (const uint32_t after : {1, 2, 4, 8}) {
    FakeEngine fake(Insisting());
    GenerateRequest request = Request(Prompt(30, 1), 200);
    request.adapter = Load(fake);
    const auto expected = Expected(request, 64, AnswerThrough(kMark));
    const AskedGenerate other = Ask(fake.engine(), request), asked = Ask(fake.engine(), request);
    while (fake.engine().stats().steps < after && asked.answer->count() == 0) {
      std::this_thread::yield();
    }
    fake.engine().Cancel(asked.id);
    const Tokens made = TokensOf(asked.Wait());
    CHECK(std::equal(made.begin(), made.end(), expected.begin()));
    CheckTokens(expected, other.Wait());
    fake.CheckAtRest();
  }
}

TEST(ModelDraft, AFailureOfItsOwnEndsNobody) {
  FakeEngineOptions options = Insisting();
  options.backend.manual = true;
  FakeEngine fake(options);
  const GenerateRequest request = Request(Prompt(30, 1), 60);
  const AskedGenerate asked = Ask(fake.engine(), request);
  while (!fake.backend.InFlight()) std::this_thread::yield();
  fake.backend.FailNextRun(MNW_INTERNAL, false);  // the next that starts is the draft's
  CompleteAll(fake, {asked});
  CheckTokens(Expected(request), asked.Wait());
  UNSIGNED_LONGS_EQUAL(0, asked.Wait().usage.drafted_tokens);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(60, fake.engine().stats().steps);
}

TEST(ModelDraft, ARequestMaySayNo) {
  FakeEngine fake(Insisting());
  GenerateRequest request = Request(Prompt(30, 1), 60);
  request.speculate = false;
  const auto asked = Ask(fake.engine(), request);
  CheckTokens(Expected(request), asked.Wait());
  UNSIGNED_LONGS_EQUAL(0, fake.draft().steps());
  fake.CheckAtRest();
}

// Whether it pays is a matter of time here; the answers are not.
TEST(ModelDraft, LeftToItselfItChangesNothingButTheSpeed) {
  FakeEngineOptions options = Insisting();
  options.draft->insists = false;
  CheckTogether(options);
}

// The tiny models have one vocabulary.
TEST(ModelDraft, BitsAreThoseOfTheModelAlone) {
  for (const char* draft : {"llama.gguf", "mistral.gguf", "qwen2.gguf"}) {
    CpuOptions options;
    options.draft = LoadModel(GoldenPath(draft));
    options.draft_options.insists = true;
    CpuEngine cpu(LoadModel(GoldenPath("llama.gguf")), options);
    std::vector<AskedGenerate> plain, guessed;
    for (uint32_t i = 0; i < 6; ++i) {
      GenerateRequest request;
      request.prompt = Joined({0}, Prompt(5 + 30 * i, i, 250));
      request.max_tokens = 60;
      request.ignore_end = true;
      request.n_logprobs = 2;
      if (i % 2) request.sampling = {.temperature = 2, .seed = i};
      guessed.push_back(Ask(cpu.engine(), request));
      request.speculate = false;
      plain.push_back(Ask(cpu.engine(), request));
    }
    uint32_t drafted = 0, accepted = 0;
    for (size_t i = 0; i < plain.size(); ++i) {
      const GenerateResult &a = plain[i].Wait(), &b = guessed[i].Wait();
      CheckTokens(TokensOf(a), b);
      for (size_t t = 0; t < a.tokens.size(); ++t) {
        CHECK(std::memcmp(&a.tokens[t].logprob, &b.tokens[t].logprob, sizeof(float)) == 0);
      }
      drafted += b.usage.drafted_tokens;
      accepted += b.usage.accepted_tokens;
    }
    CHECK(drafted > 200);
    if (std::string(draft) == "llama.gguf") {
      UNSIGNED_LONGS_EQUAL(drafted, accepted);
    } else {
      CHECK(accepted < drafted);
    }
  }
}

// Models of one family are padded to different numbers of tokens.
TEST(ModelDraft, OneOfThemMayHaveMoreTokensThatNobodyUses) {
  const TempDir dir;
  const std::string plain = GoldenPath("llama.gguf");
  for (const bool draft_is_longer : {true, false}) {
    // A model that says one of them is not drafted for any more.
    const std::string longer = WriteLonger(dir / "long.gguf", draft_is_longer ? 40 : 1);
    CpuOptions options;
    options.draft = LoadModel(draft_is_longer ? longer : plain);
    options.draft_options.insists = true;
    CpuEngine cpu(LoadModel(draft_is_longer ? plain : longer), options);
    uint32_t drafted = 0, accepted = 0, beyond = 0;
    for (uint32_t i = 0; i < 8; ++i) {
      GenerateRequest request;
      request.prompt = Joined({0}, Prompt(5 + 9 * i, i, 250));
      // Of the longer model, any prompt may have one.
      if (!draft_is_longer && i == 7) request.prompt[2] = 272;
      request.max_tokens = 40;
      request.ignore_end = true;
      if (i % 2) request.sampling = {.temperature = 2, .seed = i};
      const AskedGenerate guessed = Ask(cpu.engine(), request);
      request.speculate = false;
      const Tokens expected = TokensOf(Ask(cpu.engine(), request).Wait());
      CheckTokens(expected, guessed.Wait());
      drafted += guessed.Wait().usage.drafted_tokens;
      accepted += guessed.Wait().usage.accepted_tokens;
      for (const TokenId token : expected) beyond += token >= 272;
      if (i == 7 && !draft_is_longer) {
        UNSIGNED_LONGS_EQUAL(0, guessed.Wait().usage.drafted_tokens);
      }
    }
    CHECK_EQUAL(!draft_is_longer, beyond > 0);
    // The draft is the model itself but for those tokens.
    CHECK(drafted > 20);
    if (draft_is_longer) UNSIGNED_LONGS_EQUAL(drafted, accepted);
  }
}

TEST(ModelDraft, MoreTokensThatAreUsedAreRefused) {
  const TempDir dir;
  const auto used = LoadModel(WriteLonger(dir / "used.gguf", 3, minnow::text::PieceType::kNormal));
  CpuEngine model(LoadModel(GoldenPath("llama.gguf"))), draft(used);
  CHECK_ERROR(
      Code::kUnsupported, "token 272 is '[PAD272]', which is no padding",
      ModelDraft::Create(model.engine().instance(), draft.engine().instance(), {}).status());
  CHECK_ERROR(
      Code::kUnsupported, "which is no padding",
      ModelDraft::Create(draft.engine().instance(), model.engine().instance(), {}).status());
}
