// JSON from outside: never deeper than 64 levels, so that no document can exhaust a stack.
// Threads: pure functions.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow {

inline constexpr int kMaxJsonDepth = 64;

// kInvalid if brackets in the text, those of strings left out, nest deeper.
Status CheckJsonDepth(std::string_view text);

// kInvalid, with the place, if the text is no JSON.
Result<nlohmann::ordered_json> ParseJson(std::string_view text);

// The JSON of a file of at most so many bytes, as Python writes it: the numbers it has and JSON has
// not, NaN and Infinity, become null. Failures name the file.
Result<nlohmann::ordered_json> ReadJsonFile(const std::string& path, size_t max_bytes);
Result<nlohmann::ordered_json> ReadJsonObject(const std::string& path, size_t max_bytes);

}  // namespace minnow
