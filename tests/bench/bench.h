// What the benchmarks of the engine have in common.
#pragma once

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "engine/engine.h"
#include "engine/noise.h"

namespace minnow::bench {

inline double Quantile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  return v[std::min(v.size() - 1, static_cast<size_t>(q * static_cast<double>(v.size())))];
}
inline double Median(std::vector<double> v) { return Quantile(std::move(v), 0.5); }

// Seconds. One thread is timed by its own processor time, so that other work on the machine
// disturbs little but the memory.
inline double Now(bool of_processor) {
  timespec t{};
  clock_gettime(of_processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Tokens that nobody has seen before, for another seed.
inline std::vector<engine::TokenId> Text(engine::Engine& engine, size_t n, uint64_t seed) {
  std::vector<engine::TokenId> tokens(n);
  for (size_t i = 0; i < n; ++i) {
    tokens[i] =
        static_cast<engine::TokenId>(engine::Mix(seed << 32 | i) % engine.instance().n_vocab());
  }
  return tokens;
}

// What main returns.
inline int ExitCode(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace minnow::bench
