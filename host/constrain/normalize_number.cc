#include <algorithm>
#include <optional>
#include <vector>

#include "constrain/normalize.h"
#include "constrain/normalize_text.h"

namespace minnow::constrain {
namespace {

Status NoNumber(std::string_view text) {
  return Error(Code::kInvalid, "\"{}\" is no number in a form that is known here", Quoted(text));
}

// Whether these are the digits of a number in groups: of three, or, as in India, of two and a last
// one of three.
bool AreGroups(const std::vector<std::string_view>& groups) {
  if (groups.front().empty() || groups.front().size() > 3 || groups.back().size() != 3) {
    return false;
  }
  const auto all = [&](size_t size) {
    return std::all_of(groups.begin() + 1, groups.end() - 1,
                       [&](std::string_view group) { return group.size() == size; });
  };
  return all(3) || (groups.front().size() <= 2 && all(2));
}

// Digits with separators in between, without a sign.
std::optional<std::string> ReadAmount(std::string_view text, char decimal) {
  std::string separators;
  for (const char c : text) {
    if (!IsDigit(c)) separators += c;
  }
  if (separators.find_first_not_of(".,' ") != separators.npos) return std::nullopt;
  const auto of_one_kind = [&] {
    return separators.find_first_not_of(separators.substr(0, 1)) == separators.npos;
  };
  const size_t last = text.find_last_of(".,' ");
  char point = 0;  // what stands before the fraction, if there is one
  if (decimal != 0) {
    const bool once = std::count(separators.begin(), separators.end(), decimal) == 1;
    if (separators.find(decimal) != separators.npos) {
      if (!once || text[last] != decimal) return std::nullopt;
      point = decimal;
    }
  } else if (!separators.empty() && (text[last] == '.' || text[last] == ',')) {
    const bool once = std::count(separators.begin(), separators.end(), text[last]) == 1;
    const bool thousands = text[last] == ',' && of_one_kind() && text.size() - last == 4 &&
                           last >= 1 && last <= 3 && text[0] != '0';
    if (once && !thousands) point = text[last];
  }
  std::string_view whole = text, fraction;
  if (point != 0) {
    whole = text.substr(0, last);
    fraction = text.substr(last + 1);
    if (fraction.empty()) return std::nullopt;
    if (whole.empty() && point != '.') return std::nullopt;
    separators.pop_back();
  }
  if (!of_one_kind()) return std::nullopt;  // those between thousands
  std::vector<std::string_view> groups;
  for (size_t at = 0; at <= whole.size();) {
    const size_t end = std::min(whole.find_first_of(".,' ", at), whole.size());
    groups.push_back(whole.substr(at, end - at));
    at = end + 1;
  }
  if (groups.size() > 1 && !AreGroups(groups)) return std::nullopt;
  std::string digits;
  for (const auto& group : groups) digits += group;
  if (digits.empty() && fraction.empty()) return std::nullopt;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) digits = "0";
  return fraction.empty() ? digits : digits + "." + std::string(fraction);
}

}  // namespace

Result<std::string> NormalizeNumber(std::string_view original, const NumberOptions& options) {
  if (options.decimal != 0 && options.decimal != '.' && options.decimal != ',') {
    return Error(Code::kInvalid, "decimal is '{}': it is '.' or ','", options.decimal);
  }
  std::string text = PlainSpaces(original);
  for (const std::string_view mark : {"\u2019", "\u2212"}) {
    for (size_t at; (at = text.find(mark)) != text.npos;) {
      text.replace(at, mark.size(), mark == "\u2019" ? "'" : "-");
    }
  }
  if (text.size() > kMaxNormalized) return NoNumber(original);
  std::string_view rest = text;
  bool negative = false, sign = false;
  const auto starts = [&](char c) { return !rest.empty() && rest.front() == c; };
  const auto ends = [&](char c) { return !rest.empty() && rest.back() == c; };
  if (starts('(') && ends(')')) {
    rest = Trimmed(rest.substr(1, rest.size() - 2));
    negative = sign = true;
  }
  if (ends('%')) rest = Trimmed(rest.substr(0, rest.size() - 1));
  if (!sign && (starts('-') || starts('+'))) {
    negative = starts('-');
    sign = true;
    rest = Trimmed(rest.substr(1));
  }
  if (!sign && ends('-')) {
    negative = true;
    rest = Trimmed(rest.substr(0, rest.size() - 1));
  }
  if (rest.empty() || !(IsDigit(rest.front()) || rest.front() == '.') || !IsDigit(rest.back())) {
    return NoNumber(original);
  }
  const auto amount = ReadAmount(rest, options.decimal);
  if (!amount) {
    if (options.decimal != 0 && ReadAmount(rest, 0)) {
      return Error(Code::kInvalid, "\"{}\" is no number whose decimal sign is '{}'",
                   Quoted(original), options.decimal);
    }
    return NoNumber(original);
  }
  const bool zero = amount->find_first_not_of("0.") == std::string::npos;
  return negative && !zero ? "-" + *amount : *amount;
}

}  // namespace minnow::constrain
