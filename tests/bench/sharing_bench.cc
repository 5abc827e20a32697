// What requests save that begin alike, and what interactive ones wait for beside batch work.
//
//   sharing_bench MODEL.gguf [-t 2] [--rounds 5] [--seconds 20]
//
// Prefix: three questions about a document of 500 tokens, one after the other, beside one request
// that has the same tokens to read and to write; and beside the three with nothing kept. Rounds
// alternate. Scheduling: short scores of labels at random moments, alone and while a batch keeps
// the engine busy; the batch's rate alone, and beside them in what they leave of the time. With one
// thread that rate is by its own processor time. Prints a Markdown page.
#include <atomic>
#include <future>
#include <random>
#include <thread>

#include "CLI/CLI.hpp"
#include "bench.h"
#include "engine/runtime.h"

namespace minnow::bench {
namespace {

using engine::Clock;
using engine::Engine;
using engine::TokenId;

struct Options {
  std::string model;
  uint32_t threads = 0, rounds = 5;
  double seconds = 20, step_ms = 40;
};

double Since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

engine::GenerateRequest Request(std::vector<TokenId> prompt, uint32_t n,
                                engine::Priority priority) {
  engine::GenerateRequest request;
  request.prompt = std::move(prompt);
  request.max_tokens = n;
  request.ignore_end = true;
  request.speculate = false;  // so that both have the same rows to compute
  request.priority = priority;
  return request;
}

Result<engine::GenerateResult> Wait(Engine& engine, engine::GenerateRequest request) {
  std::promise<engine::GenerateResult> promise;
  request.on_done = [&](engine::GenerateResult r) { promise.set_value(std::move(r)); };
  MNW_TRY(engine.Generate(std::move(request)).status());
  engine::GenerateResult result = promise.get_future().get();
  MNW_TRY(std::move(result.status));
  return result;
}

// --- Prefix

constexpr size_t kDocument = 500, kQuestion = 12;
constexpr uint32_t kAnswer = 8;

// Seconds, and the tokens of prompts that were computed.
struct Run {
  double seconds = 0;
  uint64_t prompt = 0;
};

Result<Run> Ask(Engine& engine, uint64_t document, size_t questions, size_t question_tokens,
                uint32_t answer) {
  Run run;
  const Clock::time_point start = Clock::now();
  for (size_t q = 0; q < questions; ++q) {
    std::vector<TokenId> prompt = Text(engine, kDocument, document);
    const std::vector<TokenId> question = Text(engine, question_tokens, document * 100 + q + 7);
    prompt.insert(prompt.end(), question.begin(), question.end());
    MNW_ASSIGN(const engine::GenerateResult r,
               Wait(engine, Request(std::move(prompt), answer, engine::Priority::kInteractive)));
    run.prompt += r.usage.prompt_tokens - r.usage.cached_tokens;
  }
  run.seconds = Since(start);
  return run;
}

Status Prefix(Engine& engine, Engine& forgets, const Options& o) {
  std::vector<double> three, one, anew;
  uint64_t computed = 0;
  for (uint32_t round = 0; round < o.rounds + 1; ++round) {
    // Documents differ, so that none is known from before.
    MNW_ASSIGN(const Run a, Ask(engine, 3 * round + 1, 3, kQuestion, kAnswer));
    MNW_ASSIGN(const Run b, Ask(engine, 3 * round + 2, 1, 3 * kQuestion, 3 * kAnswer));
    MNW_ASSIGN(const Run c, Ask(forgets, 3 * round + 3, 3, kQuestion, kAnswer));
    if (round == 0) continue;  // warms up
    three.push_back(a.seconds / b.seconds);
    one.push_back(b.seconds);
    anew.push_back(c.seconds / b.seconds);
    computed = a.prompt;
  }
  std::printf(
      "Three questions of %zu tokens and answers of %u about a document of %zu: %llu tokens of "
      "prompts computed; %.2f (%.2f–%.2f) times the %.0f ms of one request with the same tokens; "
      "%.2f times where nothing is kept.\n\n",
      kQuestion, kAnswer, kDocument, static_cast<unsigned long long>(computed),
      Quantile(three, 0.5), Quantile(three, 0), Quantile(three, 1), 1e3 * Quantile(one, 0.5),
      Quantile(anew, 0.5));
  return Status();
}

// --- Scheduling

// Keeps this many generations going.
class Batch {
 public:
  Batch(Engine& engine, size_t n) : engine_(engine) {
    for (size_t i = 0; i < n; ++i) Next();
  }
  ~Batch() {
    stop_ = true;
    while (running_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  static constexpr size_t kPrompt = 200;
  static constexpr uint32_t kTokens = 24;

  void Next() {
    ++running_;
    engine::GenerateRequest request =
        Request(Text(engine_, kPrompt, ++seed_ + (1 << 20)), kTokens, engine::Priority::kBatch);
    request.on_done = [this](const engine::GenerateResult&) {
      if (!stop_) Next();
      --running_;
    };
    (void)engine_.Generate(std::move(request));
  }

  Engine& engine_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> seed_ = 0;
  std::atomic<int> running_ = 0;
};

constexpr size_t kScorePrompt = 60;
constexpr int32_t kLabels = 4;  // of two tokens each
constexpr size_t kScoreRows = kScorePrompt + 2 * kLabels;

// Scores of four labels after 60 tokens, one after the other with random pauses. Seconds of each.
Result<std::vector<double>> Classify(Engine& engine, double seconds, double pause, uint64_t seed) {
  std::mt19937_64 rng(seed);
  std::vector<double> taken;
  const Clock::time_point start = Clock::now();
  for (uint64_t i = 0; Since(start) < seconds; ++i) {
    std::this_thread::sleep_for(
        std::chrono::duration<double>(std::exponential_distribution<double>(1 / pause)(rng)));
    engine::ScoreRequest request;
    request.prompt = Text(engine, kScorePrompt, seed * 100000 + i + (1 << 24));
    for (int32_t label = 0; label < kLabels; ++label) {
      request.tree.push_back({-1, 10 + label});
      request.tree.push_back({2 * label, 20 + label});
    }
    std::promise<Status> promise;
    request.on_done = [&](Status status, std::vector<float>, engine::Usage) {
      promise.set_value(std::move(status));
    };
    const Clock::time_point sent = Clock::now();
    MNW_TRY(engine.Score(std::move(request)).status());
    MNW_TRY(promise.get_future().get());
    taken.push_back(Since(sent));
  }
  return taken;
}

// What happened meanwhile.
struct Span {
  double seconds = 0;
  uint64_t rows = 0;
  std::vector<double> scores;  // seconds of each
};

template <class During>
Result<Span> Measure(Engine& engine, const Options& o, During during) {
  Span span;
  const uint64_t rows = engine.stats().rows;
  const double start = Now(o.threads == 1);
  MNW_ASSIGN(span.scores, during());
  span.seconds = Now(o.threads == 1) - start;
  span.rows = engine.stats().rows - rows;
  return span;
}

Status Schedule(Engine& engine, const Options& o) {
  std::printf(
      "| round | solo p50 / p99, ms | beside batch p50 / p99, ms | p99 more by | batch rows/s "
      "alone | beside | of what is left |\n|---|---|---|---|---|---|---|\n");
  for (uint32_t round = 0; round < o.rounds; ++round) {
    // Prompts differ from pass to pass, so that none is known from before.
    const auto classify = [&](uint64_t pass) {
      return Measure(engine, o, [&, pass] { return Classify(engine, o.seconds, 0.1, pass); });
    };
    const auto sleep = [&]() -> Result<std::vector<double>> {
      std::this_thread::sleep_for(std::chrono::duration<double>(o.seconds));
      return std::vector<double>();
    };
    MNW_ASSIGN(const Span solo, classify(2 * round));
    Span alone, beside;
    {
      Batch batch(engine, 24);
      std::this_thread::sleep_for(std::chrono::seconds(1));
      MNW_ASSIGN(alone, Measure(engine, o, sleep));
      MNW_ASSIGN(beside, classify(2 * round + 1));
    }
    const auto n = static_cast<double>(beside.scores.size());
    // What a score takes that has the engine for itself: of the processor, or of the clock.
    const double score = o.threads == 1 ? solo.seconds / static_cast<double>(solo.scores.size())
                                        : Quantile(solo.scores, 0.5);
    const double rows = static_cast<double>(beside.rows) - n * kScoreRows;
    const double rate = static_cast<double>(alone.rows) / alone.seconds;
    std::printf("| %u | %.0f / %.0f | %.0f / %.0f | %.0f ms | %.0f | %.0f | %.0f %% |\n", round + 1,
                1e3 * Quantile(solo.scores, 0.5), 1e3 * Quantile(solo.scores, 0.99),
                1e3 * Quantile(beside.scores, 0.5), 1e3 * Quantile(beside.scores, 0.99),
                1e3 * (Quantile(beside.scores, 0.99) - Quantile(solo.scores, 0.99)), rate,
                rows / beside.seconds, 100 * rows / (beside.seconds - n * score) / rate);
    std::fflush(stdout);
  }
  return Status();
}

Status Main(const Options& o) {
  engine::RuntimeOptions options;
  options.n_threads = o.threads;
  options.load.n_ctx = 1024;
  options.engine.step_seconds = o.step_ms / 1000;
  MNW_ASSIGN(std::unique_ptr<engine::Runtime> runtime, engine::Runtime::Create(options));
  MNW_ASSIGN(Engine * engine, runtime->Open(o.model));
  {
    options.engine.prefix_cache_bytes = 0;
    MNW_ASSIGN(std::unique_ptr<engine::Runtime> other, engine::Runtime::Create(options));
    MNW_ASSIGN(Engine * forgets, other->Open(o.model));
    MNW_TRY(Prefix(*engine, *forgets, o));
  }
  return Schedule(*engine, o);
}

}  // namespace
}  // namespace minnow::bench

int main(int argc, char** argv) {
  CLI::App app("What sharing and scheduling bring");
  minnow::bench::Options o;
  app.add_option("model", o.model)->required();
  app.add_option("-t,--threads", o.threads);
  app.add_option("--rounds", o.rounds);
  app.add_option("--seconds", o.seconds);
  app.add_option("--step-ms", o.step_ms);
  CLI11_PARSE(app, argc, argv);
  return minnow::bench::ExitCode(minnow::bench::Main(o));
}
