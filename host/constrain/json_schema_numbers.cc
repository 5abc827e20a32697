#include "constrain/json_schema_numbers.h"

#include <algorithm>
#include <numeric>

namespace minnow::constrain {

namespace {

constexpr int kMaxExponent = 400;
// Whether a multiple can still be reached is found by looking at remainders one by one.
constexpr uint64_t kMaxDivisor = 10'000;

int CompareWhole(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

int CompareMagnitude(const Decimal& a, const Decimal& b) {
  const int whole = CompareWhole(a.whole, b.whole);
  return whole != 0 ? whole : a.fraction.compare(b.fraction);
}

std::string PlusOne(std::string digits) {
  size_t i = digits.size();
  while (i > 0 && digits[i - 1] == '9') digits[--i] = '0';
  if (i == 0) return "1" + digits;
  ++digits[i - 1];
  return digits;
}

std::string MinusOne(std::string digits) {  // not of 0
  size_t i = digits.size();
  while (digits[i - 1] == '0') digits[--i] = '9';
  --digits[i - 1];
  if (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  return digits;
}

// divisor = *number / 10^scale
bool AsFraction(const Decimal& divisor, uint64_t* number) {
  *number = 0;
  for (const char c : divisor.whole + divisor.fraction) {
    *number = *number * 10 + static_cast<uint64_t>(c - '0');
    if (*number >= kMaxDivisor) return false;
  }
  return true;
}

// What a number's digits, its dot passed over, are a multiple of, where it has `fraction` digits
// behind the dot, no more than the divisor has.
uint32_t DigitsDivisor(const Decimal& divisor, size_t fraction) {
  uint64_t number = 0;
  AsFraction(divisor, &number);
  for (size_t i = divisor.fraction.size(); i > fraction; --i) {
    number /= number % 10 == 0 ? 10 : number % 5 == 0 ? 5 : number % 2 == 0 ? 2 : 1;
  }
  return static_cast<uint32_t>(number);
}

bool IsMultiple(const Decimal& value, const Decimal& divisor) {
  if (value.fraction.size() > divisor.fraction.size()) return false;
  const uint32_t by = DigitsDivisor(divisor, value.fraction.size());
  uint64_t rest = 0;
  for (const char c : value.whole + value.fraction) {
    rest = (rest * 10 + static_cast<uint64_t>(c - '0')) % by;
  }
  return rest == 0;
}

// Writes magnitudes. Bounds are of one sign.
class Writer {
 public:
  Writer(Terms& terms, uint32_t fraction, uint32_t whole)
      : terms_(terms),
        max_fraction_(fraction),
        max_whole_(whole),
        digit_(terms.Bytes(ByteSet::Range('0', '9'))),
        dot_(terms.Literal(".")) {}

  Term Magnitudes(const std::optional<Bound>& low, const std::optional<Bound>& high) {
    const Bound from = low.value_or(Bound{});
    const std::string top = high ? high->value.whole : std::string(max_whole_, '9');
    const int order = CompareWhole(from.value.whole, top);
    if (order > 0) return kNever;
    if (order == 0) {
      Term fraction = AtLeast(from);
      if (high) fraction = terms_.And(fraction, AtMost(*high));
      return terms_.Concat(terms_.Literal(top), fraction);
    }
    std::vector<Term> all = {terms_.Concat(terms_.Literal(from.value.whole), AtLeast(from)),
                             terms_.Concat(terms_.Literal(top), high ? AtMost(*high) : Fraction())};
    const std::string first = PlusOne(from.value.whole), last = MinusOne(top);
    if (CompareWhole(first, last) <= 0) {
      all.push_back(terms_.Concat(Wholes(first, last), Fraction()));
    }
    return terms_.Or(all);
  }

  Term Digits(uint32_t least, uint32_t most) { return terms_.Repeat(digit_, least, most); }
  Term OneOf(char first, char last) {
    if (first > last) return kNever;
    return terms_.Bytes(ByteSet::Range(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
  }
  Term dot() const { return dot_; }
  // At most so many digits, not all of them zero.
  Term NotZero(uint32_t most) {
    Term rest = kNever;
    for (uint32_t n = 1; n <= most; ++n) {
      rest = terms_.Or(terms_.Concat(OneOf('1', '9'), Digits(0, n - 1)),
                       terms_.Concat(terms_.Literal("0"), rest));
    }
    return rest;
  }

 private:
  Term Fraction() {
    if (max_fraction_ == 0) return kEmpty;
    return terms_.Optional(terms_.Concat(dot_, Digits(1, max_fraction_)));
  }

  // What may stand behind the whole of `bound`. Digits of it beyond those that are written leave a
  // bound that is not reached.
  Term AtLeast(const Bound& bound) {
    const std::string f = bound.value.fraction.substr(0, max_fraction_);
    const bool included = bound.included && f.size() == bound.value.fraction.size();
    if (f.empty() && included) return Fraction();
    const auto left = static_cast<uint32_t>(max_fraction_ - f.size());
    Term rest = included ? Digits(0, left) : NotZero(left);
    for (size_t i = f.size(); i-- > 0;) {
      const Term more = terms_.Concat(OneOf(static_cast<char>(f[i] + 1), '9'),
                                      Digits(0, max_fraction_ - static_cast<uint32_t>(i) - 1));
      rest = terms_.Or(more, terms_.Concat(terms_.Literal(f.substr(i, 1)), rest));
    }
    return terms_.Concat(dot_, rest);
  }

  Term AtMost(const Bound& bound) {
    const std::string f = bound.value.fraction.substr(0, max_fraction_);
    const bool cut = f.size() < bound.value.fraction.size();  // then what is equal here is less
    const auto left = static_cast<uint32_t>(max_fraction_ - f.size());
    const Term zeros = terms_.Repeat(terms_.Literal("0"), f.empty() ? 1 : 0, left);
    Term rest = bound.included || cut ? zeros : kNever;
    if (left == 0 && f.empty()) rest = kNever;
    for (size_t i = f.size(); i-- > 0;) {
      const Term less =
          terms_.Concat(f[i] == '0' ? kNever : OneOf('0', static_cast<char>(f[i] - 1)),
                        Digits(0, max_fraction_ - static_cast<uint32_t>(i) - 1));
      rest = terms_.Or(less, terms_.Concat(terms_.Literal(f.substr(i, 1)), rest));
      if (i > 0) rest = terms_.Optional(rest);
    }
    const Term fraction = terms_.Concat(dot_, rest);
    const bool zero = bound.included || cut || !f.empty();
    return zero ? terms_.Optional(fraction) : fraction;
  }

  Term Wholes(const std::string& first, const std::string& last) {
    if (first.size() == last.size()) return Same(first, last);
    const auto a = static_cast<uint32_t>(first.size()), b = static_cast<uint32_t>(last.size());
    std::vector<Term> all = {Same(first, std::string(a, '9')),
                             Same("1" + std::string(b - 1, '0'), last)};
    if (b - a > 1) all.push_back(terms_.Concat(OneOf('1', '9'), Digits(a, b - 2)));
    return terms_.Or(all);
  }

  // Of one length, `first` no more than `last`.
  Term Same(std::string_view first, std::string_view last) {
    size_t same = 0;
    while (same < first.size() && first[same] == last[same]) ++same;
    if (same == first.size()) return terms_.Literal(first);
    Term up = kEmpty, down = kEmpty;
    uint32_t behind = 0;
    for (size_t i = first.size() - 1; i > same; --i, ++behind) {
      up = terms_.Or(
          terms_.Concat(OneOf(static_cast<char>(first[i] + 1), '9'), Digits(behind, behind)),
          terms_.Concat(terms_.Literal(first.substr(i, 1)), up));
      down = terms_.Or(
          terms_.Concat(last[i] == '0' ? kNever : OneOf('0', static_cast<char>(last[i] - 1)),
                        Digits(behind, behind)),
          terms_.Concat(terms_.Literal(last.substr(i, 1)), down));
    }
    const Term middle =
        terms_.Concat(OneOf(static_cast<char>(first[same] + 1), static_cast<char>(last[same] - 1)),
                      Digits(behind, behind));
    const Term all[] = {terms_.Concat(terms_.Literal(first.substr(same, 1)), up), middle,
                        terms_.Concat(terms_.Literal(last.substr(same, 1)), down)};
    return terms_.Concat(terms_.Literal(first.substr(0, same)), terms_.Or(all));
  }

  Terms& terms_;
  const uint32_t max_fraction_, max_whole_;
  const Term digit_, dot_;
};

// Digits whose number is a multiple of all divisors (or not, of one), with or without a sign.
Term Multiples(Terms& terms, Writer& writer, const std::vector<Decimal>& divisors, bool multiple,
               uint32_t whole, uint32_t max_fraction) {
  size_t fraction = max_fraction;
  for (const Decimal& d : divisors) fraction = std::min(fraction, d.fraction.size());
  std::vector<Term> all;
  for (uint32_t f = 0; f <= fraction; ++f) {
    Term text = writer.Digits(1, whole);
    if (f > 0) text = terms.Concat(text, terms.Concat(writer.dot(), writer.Digits(f, f)));
    for (const Decimal& d : divisors) {
      const uint32_t by = DigitsDivisor(d, f);
      if (by > 1) {
        text = terms.And(text, multiple ? terms.Multiple(by) : terms.Not(terms.Multiple(by)));
      } else if (!multiple) {
        text = kNever;
      }
    }
    all.push_back(text);
  }
  if (!multiple && fraction < max_fraction) {  // more digits than any multiple has
    const Term parts[] = {writer.Digits(1, whole), writer.dot(),
                          writer.Digits(static_cast<uint32_t>(fraction), max_fraction - 1),
                          writer.OneOf('1', '9')};
    all.push_back(terms.Concat(parts));
  }
  return terms.Concat(terms.Optional(terms.Literal("-")), terms.Or(all));
}

}  // namespace

std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal d;
  d.negative = text.starts_with('-');
  if (d.negative) text.remove_prefix(1);
  int exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    size_t i = e + 1;
    const bool down = i < text.size() && text[i] == '-';
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    for (; i < text.size(); ++i) {
      exponent = exponent * 10 + (text[i] - '0');
      if (exponent > kMaxExponent) return std::nullopt;
    }
    if (down) exponent = -exponent;
    text = text.substr(0, e);
  }
  const size_t dot = text.find('.');
  std::string digits(text.substr(0, dot));
  auto whole = static_cast<ptrdiff_t>(digits.size()) + exponent;
  if (dot != std::string_view::npos) digits += text.substr(dot + 1);
  if (whole <= 0) {
    digits.insert(0, static_cast<size_t>(1 - whole), '0');
    whole = 1;
  }
  if (static_cast<size_t>(whole) > digits.size()) digits.resize(static_cast<size_t>(whole), '0');
  d.whole = digits.substr(0, static_cast<size_t>(whole));
  d.fraction = digits.substr(static_cast<size_t>(whole));
  d.whole.erase(0, std::min(d.whole.find_first_not_of('0'), d.whole.size() - 1));
  d.fraction.resize(d.fraction.find_last_not_of('0') + 1);
  if (d.zero()) d.negative = false;
  return d;
}

std::string Decimal::Text() const {
  return (negative ? "-" : "") + whole + (fraction.empty() ? "" : "." + fraction);
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  return a.negative ? CompareMagnitude(b, a) : CompareMagnitude(a, b);
}

void NumberSet::AtLeast(const Bound& bound) {
  std::vector<Interval> kept;
  for (Interval i : intervals_) {
    const int order = i.low ? Compare(i.low->value, bound.value) : -1;
    if (order < 0) i.low = bound;
    if (order == 0) i.low->included &= bound.included;
    if (i.high) {
      const int width = Compare(i.high->value, i.low->value);
      if (width < 0 || (width == 0 && !(i.high->included && i.low->included))) continue;
    }
    kept.push_back(std::move(i));
  }
  intervals_ = std::move(kept);
}

void NumberSet::AtMost(const Bound& bound) {
  std::vector<Interval> kept;
  for (Interval i : intervals_) {
    const int order = i.high ? Compare(i.high->value, bound.value) : 1;
    if (order > 0) i.high = bound;
    if (order == 0) i.high->included &= bound.included;
    if (i.low) {
      const int width = Compare(i.high->value, i.low->value);
      if (width < 0 || (width == 0 && !(i.high->included && i.low->included))) continue;
    }
    kept.push_back(std::move(i));
  }
  intervals_ = std::move(kept);
}

void NumberSet::Exclude(const Decimal& value) {
  NumberSet below = *this, above = *this;
  below.AtMost({value, false});
  above.AtLeast({value, false});
  intervals_ = std::move(below.intervals_);
  intervals_.insert(intervals_.end(), above.intervals_.begin(), above.intervals_.end());
}

bool NumberSet::Has(const Decimal& value) const {
  const auto within = [&](const Interval& i) {
    const int low = i.low ? Compare(value, i.low->value) : 1;
    const int high = i.high ? Compare(value, i.high->value) : -1;
    return (low > 0 || (low == 0 && i.low->included)) &&
           (high < 0 || (high == 0 && i.high->included));
  };
  const auto divides = [&](const Decimal& d) { return IsMultiple(value, d); };
  return std::any_of(intervals_.begin(), intervals_.end(), within) &&
         std::all_of(multiples_.begin(), multiples_.end(), divides) &&
         std::none_of(others_.begin(), others_.end(), divides);
}

bool NumberSet::Writable(const Decimal& divisor) {
  uint64_t number = 0;
  return AsFraction(divisor, &number) && divisor.fraction.size() <= 15;
}

bool NumberSet::Unrestricted() const {
  return intervals_.size() == 1 && !intervals_[0].low && !intervals_[0].high &&
         multiples_.empty() && others_.empty();
}

Term NumberSet::Write(Terms& terms, bool integers, bool fractions,
                      const NumberDigits& digits) const {
  if (!integers && !fractions) return kNever;
  size_t whole = digits.whole;
  for (const Interval& i : intervals_) {
    if (i.low) whole = std::max(whole, i.low->value.whole.size());
    if (i.high) whole = std::max(whole, i.high->value.whole.size());
  }
  const auto max_whole = static_cast<uint32_t>(whole);
  const uint32_t max_fraction = fractions ? digits.fraction : 0;
  Writer writer(terms, max_fraction, max_whole);
  const Term minus = terms.Literal("-");
  std::vector<Term> all;
  for (const Interval& i : intervals_) {
    const bool below = !i.low || i.low->value.negative;
    const bool above = !i.high || !i.high->value.negative;
    const auto magnitude = [](const std::optional<Bound>& b) -> std::optional<Bound> {
      if (!b) return std::nullopt;
      return Bound{b->value.Magnitude(), b->included};
    };
    if (above) all.push_back(writer.Magnitudes(below ? std::nullopt : i.low, i.high));
    if (below) {
      const Bound zero = {Decimal{}, false};
      all.push_back(terms.Concat(
          minus, writer.Magnitudes(above ? zero : magnitude(i.high), magnitude(i.low))));
    }
  }
  Term text = terms.Or(all);
  if (Unrestricted() && integers && fractions) {
    const Term exponent[] = {
        terms.Bytes(ByteSet::Range('e', 'e') | ByteSet::Range('E', 'E')),
        terms.Optional(terms.Bytes(ByteSet::Range('+', '+') | ByteSet::Range('-', '-'))),
        writer.Digits(1, 2)};
    return terms.Concat(text, terms.Optional(terms.Concat(exponent)));
  }
  if (!multiples_.empty()) {
    text = terms.And(text, Multiples(terms, writer, multiples_, true, max_whole, max_fraction));
  }
  for (const Decimal& d : others_) {
    text = terms.And(text, Multiples(terms, writer, {d}, false, max_whole, max_fraction));
  }
  if (!integers) {
    const Term parts[] = {terms.Optional(minus), writer.Digits(1, max_whole), writer.dot(),
                          writer.NotZero(max_fraction)};
    text = terms.And(text, terms.Concat(parts));
  }
  return text;
}

}  // namespace minnow::constrain
