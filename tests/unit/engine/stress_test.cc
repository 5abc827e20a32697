// Random arrivals, cancellations, priorities, kinds of requests and guesses over few pages, for a
// while.
#include <stdlib.h>

#include <cstdio>
#include <random>
#include <thread>

#include "engine/fake_engine.h"
#include "engine/replay_draft.h"

using minnow::engine::FinishReason;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::LogSumExp;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedScore;
using minnow::test::CheckTokens;
using minnow::test::Expected;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FavouriteAnswer;
using minnow::test::Prompt;
using minnow::test::ReplayDraft;
using minnow::test::Request;

namespace {

struct Sent {
  GenerateRequest request;
  AskedGenerate asked;
  bool cancelled;
};

// One client: sends, cancels some of what it sent, and waits for a part of it now and then.
class Client {
 public:
  Client(FakeEngine& fake, uint32_t seed) : fake_(fake), rng_(seed) {}

  void Run(int n) {
    for (int i = 0; i < n; ++i) {
      if (Below(5) == 0) {
        SendScore();
      } else {
        SendGenerate();
      }
      if (!sent_.empty() && Below(4) == 0) {
        Sent& s = sent_[Below(static_cast<uint32_t>(sent_.size()))];
        fake_.engine().Cancel(s.asked.id);
        s.cancelled = true;
      }
      if (!sent_.empty() && Below(20) == 0)
        sent_[Below(static_cast<uint32_t>(sent_.size()))].asked.Wait();
    }
  }

  void Check() {
    for (const Sent& s : sent_) {
      const GenerateResult& result = s.asked.Wait();
      LONGS_EQUAL(1, s.asked.answer->count());
      std::vector<TokenId> expected = Expected(s.request);
      if (result.finish_reason == FinishReason::kCancelled) {
        CHECK(s.cancelled);
        CHECK(result.tokens.size() < expected.size());
        expected.resize(result.tokens.size());
      }
      CheckTokens(expected, result);
    }
    for (const auto& [request, asked] : scores_) {
      CHECK_OK(asked.Wait().status);
      LONGS_EQUAL(1, asked.answer->count());
      std::vector<TokenId> context = request.prompt;
      std::vector<float> logits(64);
      for (size_t i = 0; i < request.tree.size(); ++i) {
        FavouriteAnswer(context, logits);
        const TokenId token = request.tree[i].token;
        DOUBLES_EQUAL(logits[static_cast<size_t>(token)] - LogSumExp(logits),
                      asked.Wait().logprobs[i], 1e-5);
        context.push_back(token);
      }
    }
  }

 private:
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(rng_() % limit); }
  Priority AnyPriority() { return Below(2) ? Priority::kInteractive : Priority::kBatch; }

  // Half of them begin as others do.
  std::vector<TokenId> AnyPrompt(uint32_t length) {
    std::vector<TokenId> prompt = Prompt(length, Below(1u << 30));
    if (Below(2)) {
      const std::vector<TokenId> head = Prompt(1 + Below(length), Below(3));
      std::copy(head.begin(), head.end(), prompt.begin());
    }
    return prompt;
  }

  void SendGenerate() {
    const uint32_t length = Below(10) ? 1 + Below(40) : 1 + Below(200);
    const uint32_t answer = Below(10) ? 1 + Below(20) : 1 + Below(200);
    GenerateRequest r = Request(AnyPrompt(length), answer, AnyPriority());
    if (Below(2)) r.sampling = {.temperature = 3, .seed = Below(100)};
    // Guesses of every quality, some of them with branches; some only where they pay.
    if (Below(3)) {
      r.draft = std::make_shared<ReplayDraft>(ReplayDraft::Options{.prompt = r.prompt.size(),
                                                                   .answer = Expected(r),
                                                                   .acceptance = Below(11) / 10.0,
                                                                   .tree = Below(2) == 0,
                                                                   .insists = Below(4) > 0,
                                                                   .most = 1 + Below(24),
                                                                   .seed = Below(1000)});
    }
    AskedGenerate asked = Ask(fake_.engine(), r);
    sent_.push_back({std::move(r), std::move(asked), false});
  }

  void SendScore() {
    ScoreRequest r{AnyPrompt(1 + Below(60)), {}, AnyPriority(), {}};
    const auto n = static_cast<int32_t>(1 + Below(6));
    for (int32_t i = 0; i < n; ++i) r.tree.push_back({i - 1, static_cast<TokenId>(Below(64))});
    AskedScore asked = Ask(fake_.engine(), r);
    scores_.emplace_back(std::move(r), std::move(asked));
  }

  FakeEngine& fake_;
  std::mt19937 rng_;
  std::vector<Sent> sent_;
  std::vector<std::pair<ScoreRequest, AskedScore>> scores_;
};

}  // namespace

TEST_GROUP(Stress){};

// MINNOW_STRESS_STEPS: how many steps of the engine it goes on for, at least.
TEST(Stress, ThousandsOfRequestsFromThreeThreads) {
  FakeEngineOptions options;
  options.model.windows = {0, 40, 40};
  options.model.n_ctx = 512;
  options.engine.step_tokens = 48;
  options.instance.max_seqs = 10;
  options.instance.max_out = 12;
  options.instance.kv_tokens = 24 * 32;
  FakeEngine fake(options);
  const char* wanted = ::getenv("MINNOW_STRESS_STEPS");
  const uint64_t steps = wanted ? std::strtoull(wanted, nullptr, 10) : 0;
  uint32_t seed = 0;
  do {
    Client clients[] = {{fake, seed + 1}, {fake, seed + 2}, {fake, seed + 3}};
    seed += 3;
    std::thread threads[3];
    for (int i = 0; i < 3; ++i) threads[i] = std::thread([&, i] { clients[i].Run(700); });
    for (std::thread& t : threads) t.join();
    for (Client& c : clients) c.Check();
    fake.CheckAtRest();
  } while (fake.engine().stats().steps < steps);
  const minnow::engine::EngineStats stats = fake.engine().stats();
  CHECK(stats.preemptions > 0);
  CHECK(stats.cached_tokens > 0);
  if (wanted) {
    std::printf("\n%llu steps, %llu rows, %llu preemptions, %llu of %llu tokens cached\n",
                static_cast<unsigned long long>(stats.steps),
                static_cast<unsigned long long>(stats.rows),
                static_cast<unsigned long long>(stats.preemptions),
                static_cast<unsigned long long>(stats.cached_tokens),
                static_cast<unsigned long long>(stats.prompt_tokens));
  }
}
