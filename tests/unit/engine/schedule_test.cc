// The same requests under many schedules over the real CPU backend: they come at random, in random
// order, beside others that are cancelled, pinned or go through adapters, in a cache that is too
// small for all, in steps of any size, with guesses. The bits are those of a quiet engine.
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/random_adapter.h"
#include "engine/replay_draft.h"

using minnow::engine::AdapterId;
using minnow::engine::EngineStats;
using minnow::engine::GeneratedToken;
using minnow::engine::GenerateRequest;
using minnow::engine::GenerateResult;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::model::Model;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedHold;
using minnow::test::AskedScore;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::Hold;
using minnow::test::LoadModel;
using minnow::test::RandomAdapter;
using minnow::test::ReplayDraft;

namespace {

using Tokens = std::vector<TokenId>;

constexpr size_t kRequests = 12, kAdapters = 2;
constexpr uint32_t kLongest = 224;  // positions of one request, at most

Tokens Text(size_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  Tokens tokens = {0};
  while (tokens.size() < n) tokens.push_back(static_cast<TokenId>(2 + rng() % 270));
  return tokens;
}

// One of a few documents with one of a few questions, through one of the adapters or none. Now and
// then a text that repeats itself, of which something can be guessed.
struct Question {
  Tokens prompt;
  size_t adapter;  // 0: none
  Priority priority;
  float temperature;
  uint32_t max_tokens;
  bool scores;
};

Question MakeQuestion(uint32_t seed) {
  std::mt19937 rng(seed);
  Question q;
  q.prompt = Text(20 + 60 * (rng() % 3), rng() % 3);
  const Tokens own = Text(1 + rng() % 40, 100 + seed);
  q.prompt.insert(q.prompt.end(), own.begin() + (own.size() > 1), own.end());
  if (rng() % 3 == 0) q.prompt.insert(q.prompt.end(), own.begin(), own.end());
  q.adapter = rng() % (kAdapters + 1);
  q.priority = rng() % 2 ? Priority::kInteractive : Priority::kBatch;
  q.temperature = rng() % 2 ? 0.0f : 0.8f;
  q.max_tokens = 1 + rng() % 24;
  q.scores = rng() % 4 == 0;
  return q;
}

// The bits of an answer: tokens and log-probabilities.
using Bits = std::vector<std::pair<TokenId, float>>;

bool Same(const Bits& a, const Bits& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto x, auto y) {
           return x.first == y.first && std::memcmp(&x.second, &y.second, sizeof(float)) == 0;
         });
}

struct Asked {
  AskedGenerate generate;
  AskedScore score;
  bool scores = false;

  Bits Wait(uint64_t* accepted) const {
    Bits bits;
    if (scores) {
      CHECK_OK(score.Wait().status);
      for (const float logprob : score.Wait().logprobs) bits.emplace_back(0, logprob);
      return bits;
    }
    const GenerateResult& result = generate.Wait();
    CHECK_OK(result.status);
    *accepted += result.usage.accepted_tokens;
    for (const GeneratedToken& t : result.tokens) bits.emplace_back(t.token, t.logprob);
    return bits;
  }
};

class Schedule {
 public:
  Schedule(std::shared_ptr<const Model> model, const CpuOptions& options)
      : cpu_(std::move(model), options) {
    for (uint32_t seed = 1; seed <= kAdapters; ++seed) adapters_.push_back(Load(seed));
  }

  // `answer`: what is known of it, for guesses of which some are right.
  Asked AskQuestion(const Question& q, const Bits& answer = {}) {
    Asked asked;
    asked.scores = q.scores;
    if (q.scores) {
      ScoreRequest request;
      request.prompt = q.prompt;
      request.tree = {{-1, 5}, {0, 6}, {0, 7}, {-1, 8}, {3, 9}};
      request.priority = q.priority;
      request.adapter = adapters_[q.adapter];
      asked.score = Ask(cpu_.engine(), std::move(request));
      return asked;
    }
    GenerateRequest request;
    request.prompt = q.prompt;
    request.max_tokens = q.max_tokens;
    request.sampling.temperature = q.temperature;
    request.sampling.seed = 7;
    request.n_logprobs = 1;
    request.ignore_end = true;
    request.priority = q.priority;
    request.adapter = adapters_[q.adapter];
    if (!answer.empty()) {
      ReplayDraft::Options draft;
      draft.prompt = q.prompt.size();
      for (const auto& [token, logprob] : answer) draft.answer.push_back(token);
      draft.acceptance = 0.7;
      draft.wrong = 3;
      draft.tree = true;
      request.draft = std::make_shared<ReplayDraft>(draft);
    }
    asked.generate = Ask(cpu_.engine(), std::move(request));
    return asked;
  }

  // Something beside the questions that no answer may depend on.
  void Disturb(std::mt19937& rng) {
    switch (rng() % 4) {
      case 0: {  // begins like a question, and is not wanted any more
        const Asked asked = AskQuestion(MakeQuestion(rng() % 100));
        if (rng() % 2) std::this_thread::yield();
        Cancel(asked);
        return;
      }
      case 1:
        holds_.push_back(Hold(cpu_.engine(), Text(20 + 60 * (rng() % 2), rng() % 3),
                              adapters_[rng() % adapters_.size()]));
        return;
      case 2:
        if (!holds_.empty()) cpu_.engine().Cancel(holds_[rng() % holds_.size()].id);
        return;
      default: {  // an adapter that comes, is used and goes
        const AdapterId id = Load(50 + rng() % 50);
        GenerateRequest request;
        request.prompt = Text(30, rng() % 3);
        request.max_tokens = 3;
        request.adapter = id;
        gone_.push_back(Ask(cpu_.engine(), std::move(request)));
        CHECK_OK(cpu_.engine().UnloadAdapter(id));
      }
    }
  }

  EngineStats End() {
    for (const AskedGenerate& asked : gone_) asked.Wait();
    for (const AskedHold& hold : holds_) {
      hold.Wait();
      cpu_.engine().Cancel(hold.id);
    }
    return cpu_.engine().stats();
  }

 private:
  AdapterId Load(uint32_t seed) {
    const auto id = cpu_.engine().LoadAdapter(RandomAdapter(cpu_.engine().instance(), seed));
    CHECK_OK(id.status());
    return *id;
  }
  void Cancel(const Asked& asked) {
    cpu_.engine().Cancel(asked.scores ? asked.score.id : asked.generate.id);
  }

  CpuEngine cpu_;
  std::vector<AdapterId> adapters_ = {0};
  std::vector<AskedHold> holds_;
  std::vector<AskedGenerate> gone_;
};

CpuOptions Quiet() {
  CpuOptions options;
  options.engine.prefix_cache_bytes = 0;
  return options;
}

CpuOptions Random(std::mt19937& rng) {
  constexpr uint32_t kSteps[] = {5, 33, 64, 512};
  CpuOptions options;
  options.n_threads = 1 + rng() % 3;
  options.engine.step_tokens = kSteps[rng() % 4];
  options.engine.prefix_cache_bytes =
      rng() % 2 ? minnow::engine::kPrefixCacheByContext : rng() % 200'000;
  options.instance.kv_tokens = kLongest + 32 * (rng() % 12);
  options.instance.max_seqs = 3 + rng() % 30;
  return options;
}

}  // namespace

TEST_GROUP(Schedules){};

TEST(Schedules, GiveEachAnswerTheBitsOfAQuietEngine) {
  // More with MINNOW_SCHEDULES=1000.
  const char* wanted = std::getenv("MINNOW_SCHEDULES");
  const uint32_t n = wanted ? static_cast<uint32_t>(std::atoi(wanted)) : 4;
  for (const char* file : {"llama.gguf", "gemma2.gguf", "quantized.gguf"}) {
    const std::shared_ptr<const Model> model = LoadModel(GoldenPath(file));
    std::vector<Bits> expected;
    uint64_t accepted = 0, preempted = 0, cached = 0;
    {
      Schedule quiet(model, Quiet());
      for (uint32_t i = 0; i < kRequests; ++i) {
        expected.push_back(quiet.AskQuestion(MakeQuestion(i)).Wait(&accepted));
      }
    }
    for (uint32_t seed = 0; seed < n; ++seed) {
      std::mt19937 rng(seed);
      Schedule schedule(model, Random(rng));
      std::vector<uint32_t> order(2 * kRequests);
      for (uint32_t i = 0; i < order.size(); ++i) order[i] = i % kRequests;
      std::shuffle(order.begin(), order.end(), rng);
      std::vector<Asked> asked;
      for (const uint32_t i : order) {
        asked.push_back(schedule.AskQuestion(MakeQuestion(i), rng() % 2 ? expected[i] : Bits()));
        while (rng() % 2) schedule.Disturb(rng);
        if (rng() % 8 == 0) asked.back().Wait(&accepted);
      }
      for (size_t k = 0; k < order.size(); ++k) {
        if (Same(expected[order[k]], asked[k].Wait(&accepted))) continue;
        FAIL(fmt::format("{}: request {} of schedule {} has other bits", file, order[k], seed)
                 .c_str());
      }
      const EngineStats stats = schedule.End();
      preempted += stats.preemptions;
      cached += stats.cached_tokens;
    }
    CHECK_TEXT(
        cached > 0 && preempted > 0 && accepted > 0,
        fmt::format("{} cached, {} preempted, {} accepted", cached, preempted, accepted).c_str());
  }
}
