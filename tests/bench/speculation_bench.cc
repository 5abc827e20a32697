// Decoding with guesses beside plain decoding, one stream after another on the same machine in
// turns: what guesses that are right so often bring, what those that are never right cost, and what
// the kernels allow.
//
//   speculation_bench MODEL.gguf [-t 2] [-p 64] [-n 128] [--rounds 5]
//   speculation_bench MODEL.gguf ... --draft SMALL.gguf [--temperature 2]
//
// First a step of 1, 2, 3 .. rows is timed, by guesses that are all computed and all wrong. With
// E(n) tokens expected of a step with n guesses, the most that an acceptance allows is the largest
// E(n) * t(1) / t(1 + n). Then pairs of a plain and a guessed run alternate; the guesses replay the
// plain answer, right or wrong by a fixed pattern, and the engine decides how many it takes. Last,
// the engine's own guesses, out of the prompt and the answer.
//
// With --draft, instead: those guesses and a smaller model's, in sampled answers and in greedy
// ones. Models with random weights follow the noise in the former, the more the hotter, and repeat
// themselves in the latter; a draft whose logits are far larger than the noise is never right where
// nothing repeats. Prints a Markdown page.
#include <algorithm>
#include <cmath>
#include <future>
#include <map>

#include "CLI/CLI.hpp"
#include "bench.h"
#include "engine/replay_draft.h"
#include "engine/runtime.h"

namespace minnow::bench {
namespace {

using engine::GenerateRequest;
using engine::GenerateResult;
using engine::TokenId;
using test::ReplayDraft;

struct Options {
  std::string model, draft;
  uint32_t threads = 0, prompt = 64, n = 128, rounds = 5;
  float temperature = 2;
};

class Bench {
 public:
  Bench(engine::Engine& engine, const Options& o) : engine_(engine), o_(o) {
    prompt_ = Text(engine, o.prompt, 0);
  }

  Status Run() {
    temperature_ = o_.draft.empty() ? 0 : o_.temperature;
    MNW_TRY(Generate(nullptr, false, o_.n, o_.n).status());  // warms up; the answer to compare with
    return o_.draft.empty() ? RunWithout() : RunWithDraft();
  }

 private:
  Status RunWithout() {
    for (const double acceptance : {0.95, 0.8, 0.5, 0.0}) {
      MNW_TRY(Pairs(fmt::format("right {:.0f} %", 100 * acceptance), acceptance, [&](auto seed) {
        return Replay({.acceptance = acceptance, .insists = false, .seed = seed});
      }));
    }
    MNW_TRY(Pairs("the engine's own", -1, [](uint64_t) { return nullptr; }));
    // Last, so that the engine has nothing from it.
    MNW_TRY(TimeSteps());
    Print();
    return Status();
  }

  Status RunWithDraft() {
    MNW_TRY(Pairs("sampled", -1, [](uint64_t) { return nullptr; }));
    temperature_ = 0;
    answer_.clear();
    MNW_TRY(Pairs("greedy", -1, [](uint64_t) { return nullptr; }));
    Print();
    return Status();
  }

  std::shared_ptr<engine::DraftSource> Replay(ReplayDraft::Options options) const {
    options.prompt = prompt_.size();
    options.answer = answer_;
    return std::make_shared<ReplayDraft>(std::move(options));
  }

  Result<GenerateResult> Generate(std::shared_ptr<engine::DraftSource> draft, bool speculate,
                                  uint32_t n, uint32_t timed) {
    std::promise<GenerateResult> promise;
    GenerateRequest request;
    request.prompt = prompt_;
    request.max_tokens = n;
    request.ignore_end = true;
    request.sampling.temperature = temperature_;
    request.speculate = speculate;
    request.draft = std::move(draft);
    double first = 0, last = 0;
    request.on_token = [&, k = 0u](std::string_view, const engine::GeneratedToken&) mutable {
      if (++k == 1) first = Now(o_.threads == 1);
      if (k == timed) last = Now(o_.threads == 1);
    };
    request.on_done = [&](GenerateResult r) { promise.set_value(std::move(r)); };
    MNW_TRY(engine_.Generate(std::move(request)).status());
    GenerateResult result = promise.get_future().get();
    MNW_TRY(std::move(result.status));
    result.usage.decode_seconds = last - first;
    if (answer_.empty()) {
      for (const engine::GeneratedToken& t : result.tokens) answer_.push_back(t.token);
    }
    for (size_t i = 0; i < std::min(answer_.size(), result.tokens.size()); ++i) {
      if (result.tokens[i].token != answer_[i]) {
        return Error(Code::kInternal, "token {} differs from plain decoding", i);
      }
    }
    return result;
  }

  // Fills step_[n]: seconds of a step of n rows. The last tokens are not timed: less is guessed of
  // what follows them.
  Status TimeSteps() {
    std::map<uint32_t, std::vector<double>> seconds;
    for (uint32_t round = 0; round < o_.rounds; ++round) {
      for (const uint32_t n : {0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 15, 23}) {
        MNW_ASSIGN(GenerateResult r,
                   Generate(n == 0 ? nullptr : Replay({.acceptance = 0, .most = n}), n > 0,
                            kTimed + 24, kTimed));
        seconds[1 + n].push_back(r.usage.decode_seconds / (kTimed - 1));
      }
    }
    for (auto& [rows, times] : seconds) step_[rows] = Median(times);
    return Status();
  }

  double Allowed(double acceptance) const {
    double best = 1;
    for (const auto& [rows, seconds] : step_) {
      const double tokens = (1 - std::pow(acceptance, rows)) / (1 - acceptance);
      best = std::max(best, tokens * step_.at(1) / seconds);
    }
    return best;
  }

  struct Row {
    std::string name;
    double acceptance;  // -1: unknown
    std::vector<double> plain, guessed, ratios;
    uint32_t drafted = 0, accepted = 0;
  };

  template <class MakeDraft>
  Status Pairs(const std::string& name, double acceptance, MakeDraft make) {
    Row& row = rows_.emplace_back(Row{name, acceptance, {}, {}, {}});
    for (uint32_t round = 0; round < o_.rounds; ++round) {
      double rate[2];
      for (const bool speculate : {round % 2 == 0, round % 2 != 0}) {
        MNW_ASSIGN(GenerateResult r,
                   Generate(speculate ? make(round) : nullptr, speculate, o_.n, o_.n));
        rate[speculate] = (o_.n - 1) / r.usage.decode_seconds;
        row.drafted += r.usage.drafted_tokens;
        row.accepted += r.usage.accepted_tokens;
      }
      row.plain.push_back(rate[0]);
      row.guessed.push_back(rate[1]);
      row.ratios.push_back(rate[1] / rate[0]);
    }
    std::fprintf(stderr, "%s: %.2f\n", name.c_str(), Median(row.ratios));
    return Status();
  }

  void Print() const {
    std::printf(
        "| guesses | tokens/s plain | guessed | ratio: median (range) | allowed | of it | guessed, "
        "accepted |\n|---|---|---|---|---|---|---|\n");
    for (const Row& r : rows_) {
      const auto [least, most] = std::minmax_element(r.ratios.begin(), r.ratios.end());
      const double ratio = Median(r.ratios);
      std::string allowed = "– | –";
      if (r.acceptance >= 0) {
        const double a = Allowed(r.acceptance);
        allowed = fmt::format("{:.2f} | {:.2f}", a, ratio / a);
      }
      std::printf("| %s | %.1f | %.1f | %.2f (%.2f–%.2f) | %s | %u, %u |\n", r.name.c_str(),
                  Median(r.plain), Median(r.guessed), ratio, *least, *most, allowed.c_str(),
                  r.drafted / o_.rounds, r.accepted / o_.rounds);
    }
    if (step_.empty()) return;
    std::printf("\n| rows of a step | ms | of one row's |\n|---|---|---|\n");
    for (const auto& [rows, seconds] : step_) {
      std::printf("| %u | %.2f | %.2f |\n", rows, 1e3 * seconds, seconds / step_.at(1));
    }
  }

  static constexpr uint32_t kTimed = 24;

  engine::Engine& engine_;
  const Options o_;
  std::vector<TokenId> prompt_, answer_;
  float temperature_ = 0;
  std::vector<Row> rows_;
  std::map<uint32_t, double> step_;
};

Status Main(const Options& o) {
  engine::RuntimeOptions options;
  options.n_threads = o.threads;
  options.load.n_ctx = o.prompt + o.n + 32;
  if (!o.draft.empty()) options.drafts.emplace_back(o.model, o.draft);
  MNW_ASSIGN(std::unique_ptr<engine::Runtime> runtime, engine::Runtime::Create(options));
  MNW_ASSIGN(engine::Engine * engine, runtime->Open(o.model));
  return Bench(*engine, o).Run();
}

}  // namespace
}  // namespace minnow::bench

int main(int argc, char** argv) {
  CLI::App app("Decoding with guesses beside plain decoding");
  minnow::bench::Options o;
  app.add_option("model", o.model)->required();
  app.add_option("-t,--threads", o.threads);
  app.add_option("-p,--prompt", o.prompt);
  app.add_option("-n,--tokens", o.n);
  app.add_option("--rounds", o.rounds);
  app.add_option("--draft", o.draft);
  app.add_option("--temperature", o.temperature);
  CLI11_PARSE(app, argc, argv);
  return minnow::bench::ExitCode(minnow::bench::Main(o));
}
