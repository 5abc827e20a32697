// What the calls that stand at one place of a script asked of models, and how much of it was in the
// cache. By place: "triage.lua:12 classify". Threads: a value.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "engine/request.h"

namespace minnow::script {

struct StepUsage {
  uint64_t calls = 0, prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;

  void Add(const StepUsage& other) {
    calls += other.calls;
    prompt_tokens += other.prompt_tokens;
    cached_tokens += other.cached_tokens;
    completion_tokens += other.completion_tokens;
  }
};
using StepUsages = std::map<std::string, StepUsage>;

inline void AddUsages(const StepUsages& from, StepUsages* to) {
  for (const auto& [step, usage] : from) (*to)[step].Add(usage);
}

}  // namespace minnow::script
