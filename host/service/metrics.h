// Counters and histograms, and the page that Prometheus reads.
//
// Observing is a few atomic additions, so that the executor's thread may do it. A series lives as
// long as the process: models are loaded by name from a folder, so there are not many.
// Threads: any.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "engine/engine.h"
#include "service/retry.h"

namespace minnow::service {

class Histogram {
 public:
  void Observe(double seconds);
  // `name{labels,le="..."}` lines, the sum and the count.
  void Print(std::string_view name, const std::string& labels, std::string* out) const;

 private:
  static constexpr std::array kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                         0.5,   1.0,    2.5,   5.0,  10.0,  30.0, 60.0};
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<uint64_t> sum_nanoseconds_ = 0;
};

// Of one model and priority.
struct ModelSeries {
  Histogram queue, time_to_first_token, inter_token, end_to_end;
  std::atomic<uint64_t> prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  std::atomic<uint64_t> drafted_tokens = 0, accepted_tokens = 0;

  void ObserveUsage(const engine::Usage& usage);
};

class Metrics {
 public:
  ModelSeries& For(const std::string& model, engine::Priority priority);
  // Of a model's requests, whatever their priority.
  CompletionRate& RateOf(const std::string& model);
  void CountCall(const std::string& method, const char* code);

  struct Gauge {
    std::string model;
    engine::EngineStats stats;
  };
  std::string Print(const std::vector<Gauge>& gauges) const;

 private:
  mutable std::mutex mutex_;  // guards the maps, not what is in the series
  std::map<std::pair<std::string, engine::Priority>, std::unique_ptr<ModelSeries>> models_;
  std::map<std::string, std::unique_ptr<CompletionRate>> rates_;
  std::map<std::pair<std::string, std::string>, uint64_t> calls_;  // by method and code
};

}  // namespace minnow::service
