#include "service/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace minnow::service {

namespace {

// A label's value: quotes, backslashes and newlines are escaped.
std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + "\"";
}

void Head(std::string_view name, const char* type, const char* help, std::string* out) {
  fmt::format_to(std::back_inserter(*out), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

}  // namespace

void Histogram::Observe(double seconds) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  counts_[static_cast<size_t>(bound - kBounds.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_nanoseconds_.fetch_add(static_cast<uint64_t>(std::max(0.0, seconds) * 1e9),
                             std::memory_order_relaxed);
}

void Histogram::Print(std::string_view name, const std::string& labels, std::string* out) const {
  uint64_t count = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    count += counts_[i].load(std::memory_order_relaxed);
    const std::string bound = i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf";
    fmt::format_to(std::back_inserter(*out), "{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bound,
                   count);
  }
  fmt::format_to(std::back_inserter(*out), "{0}_sum{{{1}}} {2}\n{0}_count{{{1}}} {3}\n", name,
                 labels, static_cast<double>(sum_nanoseconds_.load()) * 1e-9, count);
}

void ModelSeries::ObserveUsage(const engine::Usage& usage) {
  queue.Observe(usage.queue_seconds);
  prompt_tokens.fetch_add(usage.prompt_tokens, std::memory_order_relaxed);
  cached_tokens.fetch_add(usage.cached_tokens, std::memory_order_relaxed);
  drafted_tokens.fetch_add(usage.drafted_tokens, std::memory_order_relaxed);
  accepted_tokens.fetch_add(usage.accepted_tokens, std::memory_order_relaxed);
  completion_tokens.fetch_add(usage.completion_tokens, std::memory_order_relaxed);
}

ModelSeries& Metrics::For(const std::string& model, engine::Priority priority) {
  const std::lock_guard lock(mutex_);
  auto& series = models_[{model, priority}];
  if (!series) series = std::make_unique<ModelSeries>();
  return *series;
}

CompletionRate& Metrics::RateOf(const std::string& model) {
  const std::lock_guard lock(mutex_);
  auto& rate = rates_[model];
  if (!rate) rate = std::make_unique<CompletionRate>();
  return *rate;
}

void Metrics::CountCall(const std::string& method, const char* code) {
  const std::lock_guard lock(mutex_);
  ++calls_[{method, code}];
}

std::string Metrics::Print(const std::vector<Gauge>& gauges) const {
  const std::lock_guard lock(mutex_);
  std::string out;
  const auto line = [&](std::string_view name, const std::string& labels, uint64_t value) {
    fmt::format_to(std::back_inserter(out), "{}{{{}}} {}\n", name, labels, value);
  };
  Head("minnow_calls_total", "counter", "RPCs that have ended.", &out);
  for (const auto& [key, count] : calls_) {
    line("minnow_calls_total",
         fmt::format("method={},code={}", Quoted(key.first), Quoted(key.second)), count);
  }
  const auto of = [](const auto& key) {
    return fmt::format("model={},priority=\"{}\"", Quoted(key.first),
                       key.second == engine::Priority::kBatch ? "batch" : "interactive");
  };
  const auto histogram = [&](const char* name, const char* help, Histogram ModelSeries::*member) {
    Head(name, "histogram", help, &out);
    for (const auto& [key, series] : models_) ((*series).*member).Print(name, of(key), &out);
  };
  histogram("minnow_queue_seconds", "Accepted to first step.", &ModelSeries::queue);
  histogram("minnow_time_to_first_token_seconds", "Call's arrival to its first token.",
            &ModelSeries::time_to_first_token);
  histogram("minnow_inter_token_seconds", "Between tokens of one answer.",
            &ModelSeries::inter_token);
  histogram("minnow_end_to_end_seconds", "Call's arrival to the end of its answer.",
            &ModelSeries::end_to_end);
  const auto counter = [&](const char* name, const char* help,
                           std::atomic<uint64_t> ModelSeries::*member) {
    Head(name, "counter", help, &out);
    for (const auto& [key, series] : models_) line(name, of(key), ((*series).*member).load());
  };
  counter("minnow_prompt_tokens_total", "Tokens of prompts.", &ModelSeries::prompt_tokens);
  counter("minnow_cached_tokens_total", "Tokens of prompts that were in the cache.",
          &ModelSeries::cached_tokens);
  counter("minnow_drafted_tokens_total", "Tokens guessed ahead of answers.",
          &ModelSeries::drafted_tokens);
  counter("minnow_accepted_tokens_total", "Of those, what the answers then had.",
          &ModelSeries::accepted_tokens);
  counter("minnow_completion_tokens_total", "Tokens of answers.", &ModelSeries::completion_tokens);
  const auto gauge = [&](const char* name, const char* type, const char* help, auto value) {
    Head(name, type, help, &out);
    for (const Gauge& g : gauges) {
      line(name, fmt::format("model={}", Quoted(g.model)), static_cast<uint64_t>(value(g.stats)));
    }
  };
  using Stats = engine::EngineStats;
  gauge("minnow_requests_running", "gauge", "In the present step.",
        [](const Stats& s) { return s.running; });
  gauge("minnow_requests_waiting", "gauge", "Not yet admitted to a step.",
        [](const Stats& s) { return s.queued; });
  gauge("minnow_kv_pages_used", "gauge", "Pages of the cache in use.",
        [](const Stats& s) { return s.pages_used; });
  gauge("minnow_kv_pages_kept", "gauge", "Pages of the cache that hold prefixes for later prompts.",
        [](const Stats& s) { return s.pages_kept; });
  gauge("minnow_preemptions_total", "counter", "Requests that gave up their pages and waited.",
        [](const Stats& s) { return s.preemptions; });
  gauge("minnow_kv_pages", "gauge", "Pages of the cache.",
        [](const Stats& s) { return s.pages_total; });
  gauge("minnow_steps_total", "counter", "Steps of the engine.",
        [](const Stats& s) { return s.steps; });
  gauge("minnow_step_rows_total", "counter", "Rows of all steps.",
        [](const Stats& s) { return s.rows; });
  return out;
}

}  // namespace minnow::service
