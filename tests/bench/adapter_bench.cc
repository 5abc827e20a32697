// What adapters cost: the base, one adapter, and as many adapters as there are rows in a batch.
//
//   adapter_bench MODEL.gguf [-t 2] [-p 256] [-n 48] [--rank 16] [--batch 8] [--rounds 7]
//
// Adapters have random F16 values at every matrix that takes one. Each round runs every case once,
// in an order that turns, and ratios are between the runs of a round, so that what else the machine
// does at that time is in both. Prints a Markdown page.
#include <minnow/sdk/half.h>

#include <atomic>
#include <cmath>
#include <future>
#include <minnow/sdk/graph_view.hpp>
#include <mutex>
#include <random>
#include <thread>

#include "CLI/CLI.hpp"
#include "bench.h"
#include "engine/runtime.h"

namespace minnow::bench {
namespace {

using engine::AdapterId;
using engine::Engine;
using engine::GenerateRequest;
using engine::GenerateResult;

struct Options {
  std::string model;
  uint32_t threads = 0, prompt = 256, n = 48, rank = 16, batch = 8, rounds = 7;
};

// As files have them: of half precision, and so small that answers stay sane.
model::Adapter RandomAdapter(const model::Instance& instance, uint32_t rank, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](int64_t n, float scale) {
    std::vector<float> values(static_cast<size_t>(n));
    for (float& v : values) v = F16ToF32(F32ToF16(normal(rng) * scale));
    return values;
  };
  model::Adapter adapter;
  for (const mnw_node& node : instance.graph().nodes()) {
    sdk::ForEachSite(node, [&](uint32_t site, uint32_t input) {
      const mnw_value& w = instance.graph().value(node.in[input]);
      const float scale = 1 / std::sqrt(static_cast<float>(w.dim[0]));
      adapter.deltas.push_back(
          {site, rank, 2, fill(rank * w.dim[0], scale), fill(rank * w.dim[1], 0.01f)});
    });
  }
  return adapter;
}

class Bench {
 public:
  Bench(Engine& engine, const Options& o) : engine_(engine), o_(o) {}

  Status Run() {
    for (uint32_t i = 0; i < o_.batch; ++i) {
      MNW_ASSIGN(const AdapterId id,
                 engine_.LoadAdapter(RandomAdapter(engine_.instance(), o_.rank, i + 1)));
      ids_.push_back(id);
    }
    const std::vector<AdapterId> base(o_.batch), same(o_.batch, ids_[0]);
    cases_ = {{"base", {0}},
              {"one adapter", {ids_[0]}},
              {fmt::format("{} rows of the base", o_.batch), base},
              {fmt::format("{} rows of one adapter", o_.batch), same},
              {fmt::format("{} rows of {} adapters", o_.batch, o_.batch), ids_}};
    for (uint32_t round = 0; round < o_.rounds + 1; ++round) {
      for (size_t i = 0; i < cases_.size(); ++i) {
        Case& c = cases_[(i + round) % cases_.size()];
        MNW_ASSIGN(const double prefill, Measure(c.adapters, o_.prompt, 1));
        MNW_ASSIGN(const double decode, Measure(c.adapters, 4, o_.n));
        if (round == 0) continue;  // warms up
        c.prefill.push_back(prefill);
        c.decode.push_back(decode);
      }
      std::fprintf(stderr, "round %u of %u\n", round, o_.rounds);
    }
    Print();
    return MeasureLoading();
  }

 private:
  // The longest time between two tokens of an answer while another adapter is loaded beside it; of
  // the processor with one thread, as elsewhere.
  Status MeasureLoading() {
    const bool of_processor = o_.threads == 1;
    const model::Adapter adapter = RandomAdapter(engine_.instance(), o_.rank, 1000);
    MNW_TRY(engine_.UnloadAdapter(ids_.back()));
    const double packs = Now(true);
    MNW_ASSIGN(const AdapterId alone, engine_.LoadAdapter(adapter));
    const double packed = Now(true);
    MNW_TRY(engine_.UnloadAdapter(alone));
    std::mutex mutex;
    std::vector<double> tokens;  // when they came
    std::atomic<bool> over = false;
    std::promise<Status> done;
    GenerateRequest r;
    r.prompt = Text(engine_, 4, ++seed_);
    r.max_tokens = 64 * o_.rounds;
    r.ignore_end = true;
    r.speculate = false;
    r.on_token = [&](std::string_view, const engine::GeneratedToken&) {
      const std::lock_guard lock(mutex);
      tokens.push_back(Now(of_processor));
    };
    r.on_done = [&](GenerateResult result) {
      over = true;
      done.set_value(std::move(result.status));
    };
    std::vector<double> loads, longest, usual;
    MNW_ASSIGN(const engine::RequestId request, engine_.Generate(std::move(r)));
    const auto await = [&](size_t n) {  // so many tokens more
      size_t seen = 0;
      for (size_t first = SIZE_MAX; seen < n && !over;) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const std::lock_guard lock(mutex);
        first = std::min(first, tokens.size());
        seen = tokens.size() - first;
      }
    };
    for (uint32_t round = 0; round < o_.rounds; ++round) {
      await(5);
      const double begin = Now(of_processor);
      MNW_ASSIGN(const AdapterId id, engine_.LoadAdapter(adapter));
      const double end = Now(of_processor);
      await(3);
      MNW_TRY(engine_.UnloadAdapter(id));
      const std::lock_guard lock(mutex);
      double most = 0;
      for (size_t i = 1; i < tokens.size(); ++i) {
        const double gap = tokens[i] - tokens[i - 1];
        const bool beside = tokens[i] > begin && tokens[i - 1] < end;
        if (beside) most = std::max(most, gap);
        if (!beside) usual.push_back(gap);
      }
      loads.push_back(end - begin);
      longest.push_back(most);
      tokens.clear();
    }
    engine_.Cancel(request);
    MNW_TRY(done.get_future().get());
    std::printf(
        "\nLoading one takes %.0f ms of a processor. Beside an answer it takes %.0f ms, and the "
        "longest time between two of its tokens is %.0f ms (%.0f–%.0f) then, else %.0f ms.\n",
        1e3 * (packed - packs), 1e3 * Median(loads), 1e3 * Median(longest),
        1e3 * Quantile(longest, 0), 1e3 * Quantile(longest, 1), 1e3 * Median(usual));
    return Status();
  }

  struct Case {
    std::string name;
    std::vector<AdapterId> adapters;  // of its rows
    std::vector<double> prefill{}, decode{};
  };

  // Tokens a second of as many requests at one time: of their prompts where they answer one token,
  // else of their answers, from when all have begun to when the first is done.
  Result<double> Measure(const std::vector<AdapterId>& adapters, uint32_t prompt, uint32_t n) {
    const bool of_processor = o_.threads == 1;
    const auto rows = static_cast<uint32_t>(adapters.size());
    struct Window {  // the executor's
      uint32_t begun = 0, tokens = 0;
      bool over = false;
      double start = 0, end = 0;
    } window;
    std::vector<std::promise<Status>> done(rows);
    std::vector<GenerateRequest> requests(rows);
    for (uint32_t i = 0; i < rows; ++i) {
      GenerateRequest& r = requests[i];
      r.prompt = Text(engine_, prompt, ++seed_);
      r.max_tokens = n;
      r.ignore_end = true;
      r.speculate = false;
      r.adapter = adapters[i];
      r.on_token = [&, k = 0u](std::string_view, const engine::GeneratedToken&) mutable {
        if (window.begun == rows && !window.over) ++window.tokens;
        window.begun += ++k == 1;
        if (k == 1 && window.begun == rows) window.start = Now(of_processor);
        if (k == n && !window.over) {
          window.over = true;
          window.end = Now(of_processor);
        }
      };
      r.on_done = [&, i](GenerateResult result) { done[i].set_value(std::move(result.status)); };
    }
    const double sent = Now(of_processor);
    for (GenerateRequest& r : requests) MNW_TRY(engine_.Generate(std::move(r)).status());
    for (auto& d : done) MNW_TRY(d.get_future().get());
    if (n == 1) return prompt * rows / (Now(of_processor) - sent);
    return window.tokens / (window.end - window.start);
  }

  static std::string Ratio(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> ratios(a.size());
    for (size_t i = 0; i < a.size(); ++i) ratios[i] = a[i] / b[i];
    return fmt::format("{:.2f} ({:.2f}–{:.2f})", Median(ratios), Quantile(ratios, 0),
                       Quantile(ratios, 1));
  }

  void Print() const {
    const double share =
        static_cast<double>(engine_.instance().adapter_bytes()) / (1 << 20) / o_.batch;
    std::printf(
        "Rank %u at every matrix, %.0f MiB an adapter beside %.0f MiB of weights; %u threads; "
        "tokens/s, medians of %u rounds, and the medians (ranges) of a round's ratios.\n\n"
        "| | decode | of | prompt of %u | of |\n|---|---|---|---|---|\n",
        o_.rank, share, static_cast<double>(engine_.instance().weight_bytes()) / (1 << 20),
        o_.threads, o_.rounds, o_.prompt);
    const size_t besides[] = {0, 0, 2, 2, 3};
    for (size_t i = 0; i < cases_.size(); ++i) {
      const Case &c = cases_[i], &beside = cases_[besides[i]];
      const bool alone = i == besides[i];
      std::printf("| %s | %.1f | %s | %.0f | %s |\n", c.name.c_str(), Median(c.decode),
                  alone ? "–" : (Ratio(c.decode, beside.decode) + " of " + beside.name).c_str(),
                  Median(c.prefill),
                  alone ? "–" : (Ratio(c.prefill, beside.prefill) + " of " + beside.name).c_str());
    }
  }

  Engine& engine_;
  const Options o_;
  std::vector<AdapterId> ids_;
  std::vector<Case> cases_;
  uint64_t seed_ = 0;
};

Status Main(const Options& o) {
  engine::RuntimeOptions options;
  options.n_threads = o.threads;
  options.load.n_ctx = std::max(o.prompt + o.n, 64 * o.rounds) + 32;
  options.instance.kv_tokens = o.batch * options.load.n_ctx;
  options.instance.adapter_slots = o.batch;
  options.engine.prefix_cache_bytes = 0;
  MNW_ASSIGN(std::unique_ptr<engine::Runtime> runtime, engine::Runtime::Create(options));
  MNW_ASSIGN(Engine * engine, runtime->Open(o.model));
  return Bench(*engine, o).Run();
}

}  // namespace
}  // namespace minnow::bench

int main(int argc, char** argv) {
  CLI::App app("What adapters cost");
  minnow::bench::Options o;
  app.add_option("model", o.model)->required();
  app.add_option("-t,--threads", o.threads);
  app.add_option("-p,--prompt", o.prompt);
  app.add_option("-n,--tokens", o.n)->check(CLI::Range(4u, 4096u));
  app.add_option("--rank", o.rank)->check(CLI::Range(1u, 256u));
  app.add_option("--batch", o.batch)->check(CLI::Range(1u, 64u));
  app.add_option("--rounds", o.rounds)->check(CLI::Range(1u, 1000u));
  CLI11_PARSE(app, argc, argv);
  return minnow::bench::ExitCode(minnow::bench::Main(o));
}
