// What a grammar costs a generation, and what it saves.
//
//   constrained_bench MODEL.gguf --schema S.json [-t 2] [-p 64] [-n 96] [--batch 32] [--rounds 5]
//
// "free": as many tokens as there are, without a grammar. "held": under a grammar that leaves a
// choice at every place (any letters), so that no token is forced and what differs is the cost of
// masks. "record": an answer that obeys the schema, beside a free one of as many tokens. Sampled at
// temperature 1, where masks are wanted most often, without speculation. Each round runs every case
// once, in an order that turns; ratios are between the runs of a round. Prints a Markdown page.
#include <atomic>
#include <fstream>
#include <future>
#include <iterator>

#include "CLI/CLI.hpp"
#include "bench.h"
#include "engine/runtime.h"

namespace minnow::bench {
namespace {

using constrain::Constraint;
using engine::Engine;
using engine::GenerateRequest;
using engine::GenerateResult;

struct Options {
  std::string model, schema;
  uint32_t threads = 0, prompt = 64, n = 96, batch = 32, rounds = 5;
};

class Bench {
 public:
  Bench(Engine& engine, const Options& o, std::string schema)
      : engine_(engine), o_(o), schema_(std::move(schema)) {}

  Status Run() {
    const Constraint held = {
        .kind = Constraint::Kind::kRegex, .source = R"([a-zA-Z ,.]{4,}!{9})", .document = ""};
    const Constraint record = {
        .kind = Constraint::Kind::kJsonSchema, .source = schema_, .document = ""};
    for (uint32_t rows : {1u, o_.batch}) {
      std::vector<double> held_ratio, record_ratio, steps;
      for (uint32_t round = 0; round < o_.rounds + 1; ++round) {
        const bool turned = round % 2 == 1;
        MNW_ASSIGN(Sample first, Measure(turned ? held : Constraint(), rows, o_.n));
        MNW_ASSIGN(Sample second, Measure(turned ? Constraint() : held, rows, o_.n));
        if (turned) std::swap(first, second);
        MNW_ASSIGN(const Sample typed, Measure(record, rows, o_.n));
        MNW_ASSIGN(const Sample same, Measure(Constraint(), rows, typed.tokens / rows));
        if (round == 0) continue;  // warms up
        held_ratio.push_back(second.seconds / second.steps / (first.seconds / first.steps));
        record_ratio.push_back(typed.seconds / typed.tokens / (same.seconds / same.tokens));
        steps.push_back(typed.steps / typed.tokens * rows);
      }
      std::printf("| %u | %.3f (%.3f–%.3f) | %.2f (%.2f–%.2f) | %.2f |\n", rows, Median(held_ratio),
                  Quantile(held_ratio, 0), Quantile(held_ratio, 1), Median(record_ratio),
                  Quantile(record_ratio, 0), Quantile(record_ratio, 1), Median(steps));
      std::fflush(stdout);
    }
    return Status();
  }

 private:
  struct Sample {
    double seconds = 0, steps = 0, tokens = 0;
  };

  Result<Sample> Measure(const Constraint& constraint, uint32_t rows, double n) {
    std::vector<std::promise<GenerateResult>> done(rows);
    const bool of_processor = o_.threads == 1;
    const engine::EngineStats before = engine_.stats();
    const double start = Now(of_processor);
    for (uint32_t i = 0; i < rows; ++i) {
      GenerateRequest r;
      r.prompt = Text(engine_, o_.prompt, ++seed_);
      r.max_tokens = std::max(1u, static_cast<uint32_t>(n));
      r.ignore_end = !constraint;
      r.speculate = false;
      r.sampling.temperature = 1;
      r.sampling.seed = seed_;
      r.constraint = constraint;
      r.on_done = [&, i](GenerateResult result) { done[i].set_value(std::move(result)); };
      MNW_TRY(engine_.Generate(std::move(r)).status());
    }
    Sample run;
    for (auto& d : done) {
      const GenerateResult result = d.get_future().get();
      MNW_TRY(result.status);
      run.tokens += result.usage.completion_tokens;
    }
    run.seconds = Now(of_processor) - start;
    while (engine_.stats().running > 0) {
    }
    run.steps = static_cast<double>(engine_.stats().steps - before.steps);
    return run;
  }

  Engine& engine_;
  const Options o_;
  const std::string schema_;
  uint64_t seed_ = 0;
};

Status Main(const Options& o) {
  std::ifstream in(o.schema);
  if (!in) return Error(Code::kNotFound, "cannot read {}", o.schema);
  const std::string schema((std::istreambuf_iterator<char>(in)), {});
  engine::RuntimeOptions options;
  options.n_threads = o.threads;
  options.load.n_ctx = o.prompt + o.n + 32;
  options.instance.kv_tokens = o.batch * options.load.n_ctx;
  options.engine.prefix_cache_bytes = 0;
  MNW_ASSIGN(std::unique_ptr<engine::Runtime> runtime, engine::Runtime::Create(options));
  MNW_ASSIGN(Engine * engine, runtime->Open(o.model));
  std::printf(
      "Prompt of %u, at most %u tokens, temperature 1, %u threads; medians (ranges) of %u "
      "rounds.\n\n"
      "| rows | step held / free | token of a record / free | steps per token of a record |\n"
      "|---|---|---|---|\n",
      o.prompt, o.n, o.threads, o.rounds);
  return Bench(*engine, o, schema).Run();
}

}  // namespace
}  // namespace minnow::bench

int main(int argc, char** argv) {
  CLI::App app("What a grammar costs a generation, and what it saves");
  minnow::bench::Options o;
  app.add_option("model", o.model)->required();
  app.add_option("--schema", o.schema)->required();
  app.add_option("-t,--threads", o.threads);
  app.add_option("-p,--prompt", o.prompt);
  app.add_option("-n,--tokens", o.n)->check(CLI::Range(4u, 4096u));
  app.add_option("--batch", o.batch)->check(CLI::Range(1u, 64u));
  app.add_option("--rounds", o.rounds)->check(CLI::Range(1u, 1000u));
  CLI11_PARSE(app, argc, argv);
  return minnow::bench::ExitCode(minnow::bench::Main(o));
}
