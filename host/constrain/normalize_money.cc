#include <algorithm>
#include <iterator>

#include "constrain/normalize.h"
#include "constrain/normalize_text.h"

namespace minnow::constrain {
namespace {

// The currencies in use, ISO 4217.
constexpr std::string_view kCurrencies =
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR "
    "KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK "
    "MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR "
    "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS "
    "UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL";

// What is written for them, letters in upper case, and which it may be; one that several share
// needs the option.
constexpr struct {
  std::string_view sign, currencies;
} kSigns[] = {
    {"RM", "MYR"},
    {"US$", "USD"},
    {"S$", "SGD"},
    {"A$", "AUD"},
    {"AU$", "AUD"},
    {"C$", "CAD"},
    {"CA$", "CAD"},
    {"NZ$", "NZD"},
    {"HK$", "HKD"},
    {"NT$", "TWD"},
    {"MX$", "MXN"},
    {"R$", "BRL"},
    {"RP", "IDR"},
    {"RP.", "IDR"},
    {"ZŁ", "PLN"},
    {"zł", "PLN"},
    {"KČ", "CZK"},
    {"Kč", "CZK"},
    {"FT", "HUF"},
    {"\u00A3", "GBP"},
    {"\u20AC", "EUR"},
    {"\u20B9", "INR"},
    {"\u0E3F", "THB"},
    {"\u20A9", "KRW"},
    {"\u20AB", "VND"},
    {"\u20B1", "PHP"},
    {"\u20BD", "RUB"},
    {"\u20BA", "TRY"},
    {"\u20AA", "ILS"},
    {"\u20B4", "UAH"},
    {"\u20A6", "NGN"},
    {"$",
     "USD ARS AUD BBD BMD BND BSD BZD CAD CLP COP CUP DOP FJD GYD HKD JMD KYD LRD MXN NAD NZD "
     "SBD SGD SRD TTD TWD UYU XCD"},
    {"\u00A5", "JPY CNY"},
    {"RS", "INR PKR LKR NPR MUR SCR"},
    {"RS.", "INR PKR LKR NPR MUR SCR"},
    {"KR", "SEK NOK DKK ISK"},
    {"KR.", "SEK NOK DKK ISK"},
    {"FR", "CHF XAF XOF XPF"},
    {"FR.", "CHF XAF XOF XPF"},
    {"R", "ZAR BRL"},
};

bool Lists(std::string_view currencies, std::string_view code) {
  return code.size() == 3 && code.find(' ') == code.npos &&
         currencies.find(code) != currencies.npos;
}

std::string Upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return out;
}

auto FindSign(std::string_view sign) {
  return std::find_if(std::begin(kSigns), std::end(kSigns),
                      [&](const auto& s) { return s.sign == sign || s.sign == Upper(sign); });
}

}  // namespace

Result<Money> NormalizeMoney(std::string_view original, const MoneyOptions& options) {
  const std::string& standard = options.currency;
  if (!standard.empty() && !Lists(kCurrencies, standard)) {
    return Error(Code::kInvalid, "currency is \"{}\": it is a code of ISO 4217, such as EUR",
                 Quoted(standard));
  }
  const std::string text = PlainSpaces(original);
  const auto first = std::find_if(text.begin(), text.end(), IsDigit);
  const auto last = std::find_if(text.rbegin(), text.rend(), IsDigit).base();
  if (first == text.end() || text.size() > kMaxNormalized) {
    return Error(Code::kInvalid, "\"{}\" is no amount of money: it has no digits",
                 Quoted(original));
  }
  // Around the digits: the sign of the currency, on one side, and that of the number.
  std::string before(text.begin(), first), after(last, text.end()), number(first, last);
  if (before.ends_with('.') && FindSign(before) == std::end(kSigns)) {  // .50, but not Rs.50
    before.pop_back();
    number.insert(0, ".");
  }
  std::string minus;
  const auto take = [&](std::string& side, std::string_view sign) {
    if (!side.starts_with(sign) && !side.ends_with(sign)) return false;
    side.erase(side.starts_with(sign) ? 0 : side.size() - sign.size(), sign.size());
    side = Trimmed(side);
    return true;
  };
  before = Trimmed(before);
  after = Trimmed(after);
  if (before.starts_with('(') && after.ends_with(')')) {
    before = Trimmed(before.substr(1));
    after = Trimmed(after.substr(0, after.size() - 1));
    minus = "-";
  }
  for (std::string* side : {&before, &after}) {
    for (const std::string_view sign : {"-", "\u2212"}) {
      if (minus.empty() && take(*side, sign)) minus = "-";
    }
  }
  if (minus.empty()) take(before, "+");
  const std::string sign = before.empty() ? after : before;
  const auto no_money = [&](std::string_view why) {
    return Error(Code::kInvalid, "\"{}\" is no amount of money: {}", Quoted(original), why);
  };
  if (!before.empty() && !after.empty()) return no_money("something stands on both sides");

  Money money;
  if (sign.empty()) {
    if (standard.empty()) {
      return Error(Code::kPrecondition, "\"{}\" does not say its currency: give one",
                   Quoted(original));
    }
    money.currency = standard;
  } else if (const std::string code = Upper(sign); Lists(kCurrencies, code)) {
    money.currency = code;
  } else {
    const auto known = FindSign(sign);
    if (known == std::end(kSigns)) return no_money("its currency is not known");
    if (known->currencies.size() == 3) {
      money.currency = known->currencies;
    } else if (Lists(known->currencies, standard)) {
      money.currency = standard;
    } else {
      return Error(Code::kPrecondition, "\"{}\": {} may be {}: give the currency that is meant",
                   Quoted(original), sign, known->currencies);
    }
  }
  MNW_ASSIGN(money.amount, NormalizeNumber(minus + number, options.number));
  return money;
}

}  // namespace minnow::constrain
