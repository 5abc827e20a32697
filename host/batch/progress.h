// How far a batch has come: one line on stderr that is rewritten where a terminal is there, and a
// summary at the end. Threads: one at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace minnow::batch {

class Progress {
 public:
  explicit Progress(std::optional<size_t> total);

  void Count(bool failed, uint64_t tokens);
  void Finish();  // the summary
  // "12/24 documents, 3.2 documents/s, 410 tokens/s, ETA 0:04, 0 errors"
  std::string Line(double seconds) const;

 private:
  const std::optional<size_t> total_;
  const bool terminal_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_{};
  size_t done_ = 0, failed_ = 0;
  uint64_t tokens_ = 0;
};

}  // namespace minnow::batch
