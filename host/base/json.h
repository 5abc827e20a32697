// JSON from outside: never deeper than 64 levels, so that no document can exhaust a stack.
// Threads: pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/status.h"

namespace minnow {

inline constexpr int kMaxJsonDepth = 64;

// kInvalid, with the place, if the text is no JSON.
Result<nlohmann::ordered_json> ParseJson(std::string_view text);

}  // namespace minnow
