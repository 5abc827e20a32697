#include "base/json.h"

namespace minnow {

Result<nlohmann::ordered_json> ParseJson(std::string_view text) {
  bool too_deep = false;
  const auto limit = [&](int depth, nlohmann::ordered_json::parse_event_t,
                         nlohmann::ordered_json&) {
    too_deep |= depth > kMaxJsonDepth;
    return !too_deep;
  };
  try {
    auto value = nlohmann::ordered_json::parse(text, limit);
    if (too_deep) return Error(Code::kInvalid, "nested deeper than {} levels", kMaxJsonDepth);
    return value;
  } catch (const nlohmann::json::exception& e) {
    return Error(Code::kInvalid, "{}", e.what());
  }
}

}  // namespace minnow
