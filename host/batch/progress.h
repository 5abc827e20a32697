// How far a batch has come: one line on stderr that is rewritten where a terminal is there, and a
// summary at the end. Threads: one at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "script/step_usage.h"

namespace minnow::batch {

// "1000 calls read 512000 tokens, 97 % of them from the cache, and wrote 8000"
std::string Describe(const script::StepUsage& usage);

class Progress {
 public:
  // `done` and `failed`: documents of an earlier process, which count but took no time.
  explicit Progress(std::optional<uint64_t> total, uint64_t done = 0, uint64_t failed = 0);

  void Count(bool failed, uint64_t tokens);
  void CountSteps(const script::StepUsages& steps) { script::AddUsages(steps, &steps_); }
  void Finish();  // the summary

  double seconds() const;                                 // since it was made
  uint64_t documents() const { return done_ - before_; }  // of this process
  uint64_t tokens() const { return tokens_; }
  const script::StepUsages& steps() const { return steps_; }
  // "12/24 documents, 3.2 documents/s, 410 tokens/s, ETA 0:04, 0 errors"; rates are of this process
  std::string Line(double seconds) const;

 private:
  const std::optional<uint64_t> total_;
  const uint64_t before_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_{};
  uint64_t done_, failed_;
  uint64_t tokens_ = 0;
  script::StepUsages steps_;
};

}  // namespace minnow::batch
