#include "script/budget.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <variant>

namespace minnow::script {
namespace {

struct Limit {
  std::string_view name;
  std::variant<size_t Budget::*, double Budget::*> member;
  bool is_bytes = false;
};

constexpr Limit kLimits[] = {
    {"memory", &Budget::memory_bytes, true},
    {"instructions", &Budget::instructions},
    {"lua", &Budget::lua_seconds},
    {"time", &Budget::seconds},
    {"tokens", &Budget::tokens},
    {"output", &Budget::output_bytes, true},
};

std::optional<double> ReadNumber(std::string_view text, bool is_bytes) {
  double unit = 1;
  if (is_bytes && !text.empty()) {
    const size_t power = std::string_view("KMG").find(text.back());
    if (power != std::string_view::npos) {
      unit = std::ldexp(1, 10 * (static_cast<int>(power) + 1));
      text.remove_suffix(1);
    }
  }
  double number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(number) || number < 0) return std::nullopt;
  return number * unit;
}

Status ReadLimit(std::string_view entry, Budget* budget) {
  const size_t equals = std::min(entry.find('='), entry.size());
  const std::string_view name = entry.substr(0, equals);
  const std::string_view value = entry.substr(std::min(equals + 1, entry.size()));
  const auto* limit = std::find_if(std::begin(kLimits), std::end(kLimits),
                                   [&](const Limit& l) { return l.name == name; });
  if (limit == std::end(kLimits)) {
    return Error(Code::kInvalid,
                 "budget: unknown '{}' (known: memory, instructions, lua, time, tokens, output)",
                 name);
  }
  const bool is_none = value == "none";
  const std::optional<double> number = ReadNumber(value, limit->is_bytes);
  if (!is_none && !number) {
    return Error(Code::kInvalid, "budget: {} should be {} or none, got '{}'", name,
                 limit->is_bytes ? "bytes such as 64M" : "a number", value);
  }
  const Budget unlimited = Budget::Unlimited();
  std::visit(
      [&](auto member) {
        using Member = std::remove_reference_t<decltype(budget->*member)>;
        const bool fits = number && *number < std::ldexp(1, 63);
        budget->*member = fits && !is_none ? static_cast<Member>(*number) : unlimited.*member;
      },
      limit->member);
  return {};
}

}  // namespace

Status ReadBudget(std::string_view text, Budget* budget) {
  for (;;) {
    const size_t comma = std::min(text.find(','), text.size());
    MNW_TRY(ReadLimit(text.substr(0, comma), budget));
    if (comma == text.size()) return {};
    text.remove_prefix(comma + 1);
  }
}

}  // namespace minnow::script
