// minnow bench -m MODEL [-t N] [-p 512] [-n 128] [-b 1,8,32] [-d DEPTH] [-r 5] --json
//
// pp: tokens per second of prefilling -p tokens. tg: tokens per second of decoding -n tokens in
// each of b streams that begin at depth -d, counted from the moment when every stream has its first
// token.
#include <algorithm>
#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>

#include "cli/await.h"
#include "cli/cli.h"
#include "engine/noise.h"

namespace minnow::cli {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  ModelOptions model;
  uint32_t prompt = 512, n = 128, depth = 0, repetitions = 5;
  std::vector<uint32_t> streams{1};
  bool json = false;
};

double Seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

// Tokens that mean nothing; different in each stream, so that nothing can be shared.
std::vector<text::TokenId> RandomTokens(uint32_t n, uint32_t n_vocab, uint64_t seed) {
  std::vector<text::TokenId> tokens(n);
  for (uint32_t i = 0; i < n; ++i)
    tokens[i] = static_cast<text::TokenId>(engine::Mix(seed << 32 | i) % n_vocab);
  return tokens;
}

Result<double> Prefill(const OpenedModel& opened, uint32_t n) {
  engine::Engine& engine = *opened.engine;
  engine::LogitsRequest request;
  request.adapter = opened.adapter_id();
  request.tokens = RandomTokens(n, engine.instance().n_vocab(), 1);
  request.on_logits = [](size_t, std::span<const float>) {};
  const Clock::time_point start = Clock::now();
  MNW_TRY(AwaitStatus([&](auto done) {
    request.on_done = [done](Status s, engine::Usage) { done(std::move(s)); };
    return engine.Logits(std::move(request));
  }));
  return n / Seconds(Clock::now() - start);
}

Result<double> Decode(const OpenedModel& opened, uint32_t streams, uint32_t depth, uint32_t n) {
  engine::Engine& engine = *opened.engine;
  std::mutex mutex;
  std::vector<Clock::time_point> times;  // of every token of every stream
  Clock::time_point all_began{};
  std::vector<std::future<engine::GenerateResult>> results;
  for (uint32_t s = 0; s < streams; ++s) {
    auto promise = std::make_shared<std::promise<engine::GenerateResult>>();
    results.push_back(promise->get_future());
    engine::GenerateRequest request;
    request.prompt = RandomTokens(std::max(depth, 1u), engine.instance().n_vocab(), s + 2);
    request.adapter = opened.adapter_id();
    request.max_tokens = n + 1;  // the first comes with the prompt
    request.ignore_end = true;
    request.speculate = false;  // what random weights say repeats itself, and that is not the speed
    request.on_token = [&, first = true](std::string_view,
                                         const engine::GeneratedToken& t) mutable {
      if (t.token == text::kNoToken) return;
      const std::lock_guard lock(mutex);
      const Clock::time_point now = Clock::now();
      if (first) all_began = std::max(all_began, now);
      first = false;
      times.push_back(now);
    };
    request.on_done = [promise](engine::GenerateResult r) { promise->set_value(std::move(r)); };
    MNW_ASSIGN([[maybe_unused]] const engine::RequestId id, engine.Generate(std::move(request)));
  }
  for (auto& r : results) MNW_TRY(r.get().status);
  const auto last = *std::max_element(times.begin(), times.end());
  const auto counted =
      std::count_if(times.begin(), times.end(), [&](auto t) { return t > all_began; });
  return static_cast<double>(counted) / Seconds(last - all_began);
}

// Runs `test` once to warm up, then `repetitions` times.
Status Measure(const std::string& name, uint32_t repetitions,
               const std::function<Result<double>()>& test, nlohmann::ordered_json& rows) {
  std::vector<double> rates;
  for (uint32_t i = 0; i < repetitions + 1; ++i) {
    MNW_ASSIGN(const double rate, test());
    if (i > 0) rates.push_back(rate);
  }
  std::sort(rates.begin(), rates.end());
  rows.push_back(
      {{"test", name},
       {"tokens_per_second",
        {{"median", rates[rates.size() / 2]}, {"min", rates.front()}, {"max", rates.back()}}}});
  std::fprintf(stderr, "%-12s %10.2f tokens/s (%.2f to %.2f)\n", name.c_str(),
               rates[rates.size() / 2], rates.front(), rates.back());
  return Status();
}

VerbResult Run(Options o) {
  if (o.repetitions == 0) return Error(Code::kInvalid, "-r must be at least 1");
  if (o.model.n_ctx == 0) o.model.n_ctx = std::max(o.prompt, o.depth + o.n + 2);
  o.model.prefix_cache_bytes = 0;  // each run computes its prompt
  MNW_ASSIGN(OpenedModel opened, OpenModel(o.model));
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  if (o.prompt > 0) {
    MNW_TRY(Measure(
        fmt::format("pp{}", o.prompt), o.repetitions, [&] { return Prefill(opened, o.prompt); },
        rows));
  }
  for (uint32_t b : o.streams) {
    if (o.n == 0 || b == 0) continue;
    const std::string depth = o.depth > 0 ? fmt::format("@d{}", o.depth) : "";
    const std::string name =
        fmt::format("tg{}{}{}", o.n, b > 1 ? fmt::format("@b{}", b) : "", depth);
    MNW_TRY(Measure(
        name, o.repetitions, [&] { return Decode(opened, b, o.depth, o.n); }, rows));
  }
  if (o.json) PrintJson(rows);
  return kExitOk;
}

}  // namespace

void AddBench(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb =
      line.AddVerb("bench", "Tokens per second of prefill and decode", [o] { return Run(*o); });
  AddModelOptions(verb, o->model);
  AddLoraOption(verb, o->model);
  verb.Add("-p,--prompt", o->prompt, "Tokens of the prefill; 0: skip");
  verb.Add("-n,--tokens", o->n, "Tokens decoded in each stream; 0: skip");
  verb.Add("-b,--batch", o->streams, "Numbers of streams, separated by commas").CommaSeparated();
  verb.Add("-d,--depth", o->depth, "Tokens in the context before decoding begins");
  verb.Add("-r,--repetitions", o->repetitions, "Measured runs, after one that is not");
  verb.AddFlag("--json", o->json, "JSON rows on stdout");
}

}  // namespace minnow::cli
