#include <algorithm>
#include <iterator>

#include "constrain/normalize.h"
#include "constrain/normalize_text.h"

namespace minnow::constrain {
namespace {

// Country, its code, and the digit in front of a number at home that is left out after the code.
constexpr struct {
  std::string_view country, code, trunk;
} kCountries[] = {
    {"AE", "971", "0"}, {"AR", "54", "0"},  {"AT", "43", "0"},  {"AU", "61", "0"},
    {"BD", "880", "0"}, {"BE", "32", "0"},  {"BG", "359", "0"}, {"BN", "673", ""},
    {"BR", "55", "0"},  {"CA", "1", "1"},   {"CH", "41", "0"},  {"CL", "56", ""},
    {"CN", "86", "0"},  {"CO", "57", ""},   {"CZ", "420", ""},  {"DE", "49", "0"},
    {"DK", "45", ""},   {"EE", "372", ""},  {"EG", "20", "0"},  {"ES", "34", ""},
    {"FI", "358", "0"}, {"FR", "33", "0"},  {"GB", "44", "0"},  {"GR", "30", ""},
    {"HK", "852", ""},  {"HR", "385", "0"}, {"HU", "36", "06"}, {"ID", "62", "0"},
    {"IE", "353", "0"}, {"IL", "972", "0"}, {"IN", "91", "0"},  {"IT", "39", ""},
    {"JP", "81", "0"},  {"KE", "254", "0"}, {"KR", "82", "0"},  {"LK", "94", "0"},
    {"LT", "370", "0"}, {"LU", "352", ""},  {"LV", "371", ""},  {"MA", "212", "0"},
    {"MX", "52", ""},   {"MY", "60", "0"},  {"NG", "234", "0"}, {"NL", "31", "0"},
    {"NO", "47", ""},   {"NP", "977", "0"}, {"NZ", "64", "0"},  {"PE", "51", "0"},
    {"PH", "63", "0"},  {"PK", "92", "0"},  {"PL", "48", ""},   {"PT", "351", ""},
    {"RO", "40", "0"},  {"RS", "381", "0"}, {"RU", "7", "8"},   {"SA", "966", "0"},
    {"SE", "46", "0"},  {"SG", "65", ""},   {"SI", "386", "0"}, {"SK", "421", "0"},
    {"TH", "66", "0"},  {"TR", "90", "0"},  {"TW", "886", "0"}, {"UA", "380", "0"},
    {"US", "1", "1"},   {"VN", "84", "0"},  {"ZA", "27", "0"},
};

constexpr size_t kLongest = 15, kShortest = 5;  // digits; E.164 sets the first

}  // namespace

Result<std::string> NormalizePhone(std::string_view original, const PhoneOptions& options) {
  const auto* home = std::find_if(std::begin(kCountries), std::end(kCountries),
                                  [&](const auto& c) { return c.country == options.country; });
  if (!options.country.empty() && home == std::end(kCountries)) {
    return Error(Code::kUnsupported,
                 "country \"{}\" is not among those whose phone numbers are known here (codes of "
                 "ISO 3166, such as MY); without one the digits are given",
                 Quoted(options.country));
  }
  std::string text = PlainSpaces(original);
  const auto no_number = [&](std::string_view why) {
    return Error(Code::kInvalid, "\"{}\" is no phone number: {}", Quoted(original), why);
  };
  if (text.size() > kMaxNormalized) return no_number("it is too long");
  if (text.starts_with("(+")) {  // (+60) 3-4021 0276
    const size_t close = text.find(')');
    if (close == text.npos) return no_number("its parentheses do not match");
    text.erase(close, 1);
    text.erase(0, 1);
  }
  const bool plus = text.starts_with('+');
  bool international = plus;
  if (plus) {
    text.erase(0, 1);
    if (const size_t trunk = text.find("(0)"); trunk != text.npos) text.erase(trunk, 3);
  }
  std::string digits;
  int open = 0;  // parentheses
  for (const char c : text) {
    if (IsDigit(c)) {
      digits += c;
    } else if (c == '(') {
      if (++open > 1) return no_number("its parentheses do not match");
    } else if (c == ')') {
      if (--open < 0) return no_number("its parentheses do not match");
    } else if (c != ' ' && c != '-' && c != '.') {
      return no_number(
          "it has more than digits, spaces, hyphens, points and parentheses; of two "
          "numbers or an extension, copy one number");
    }
  }
  if (open != 0) return no_number("its parentheses do not match");
  if (!plus && digits.starts_with("00")) {
    international = true;
    digits.erase(0, 2);
  }
  if (!international && home != std::end(kCountries)) {
    // Behind a 1 a number of North America has ten digits; elsewhere no number begins like that.
    const bool trunk =
        digits.starts_with(home->trunk) && (home->code != "1" || digits.size() == 11);
    if (trunk) digits.erase(0, home->trunk.size());
    digits.insert(0, home->code);
    international = true;
  }
  if (digits.size() < kShortest || digits.size() > kLongest) {
    return no_number(
        fmt::format("it has {} digits, and may have {} to {}", digits.size(), kShortest, kLongest));
  }
  if (international && digits.starts_with('0')) return no_number("no country's code begins with 0");
  return international ? "+" + digits : digits;
}

}  // namespace minnow::constrain
