// What a document may spend. A budget that is used up ends the document, whatever pcall it is in,
// and nothing else: its state is thrown away, and others go on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::script {

struct Budget {
  size_t memory_bytes = 64 << 20;
  // Of Lua's virtual machine. What its library does in one of them counts as well: steps of
  // patterns, elements that are moved, bytes that are written.
  uint64_t instructions = 100'000'000;  // about a second
  double lua_seconds = 10;              // of the processor's time
  double seconds = 3600;                // from its begin to its end
  uint64_t tokens = UINT64_MAX;         // of prompts and answers
  size_t output_bytes = 1 << 20;        // printed and logged; what is more is dropped

  static constexpr Budget Unlimited() {
    constexpr double kForever = std::numeric_limits<double>::infinity();
    return {SIZE_MAX, UINT64_MAX, kForever, kForever, UINT64_MAX, SIZE_MAX};
  }
};

// Reads "memory=128M,instructions=5e8,lua=10,time=60,tokens=20000,output=64K" over `budget`: any of
// them, seconds for lua and time, K, M and G for bytes, "none" for no limit.
Status ReadBudget(std::string_view text, Budget* budget);

}  // namespace minnow::script
