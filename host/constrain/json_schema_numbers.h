// Numbers by their decimal digits: what a JSON Schema says of a number, as the texts it may have.
// Nothing here rounds: 0.1 is one tenth. Threads: values; writing, as Terms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "constrain/terms.h"

namespace minnow::constrain {

struct Decimal {
  bool negative = false;  // never of zero
  std::string whole = "0";
  std::string fraction;  // without zeros at its end

  bool zero() const { return whole == "0" && fraction.empty(); }
  bool integer() const { return fraction.empty(); }
  Decimal Magnitude() const { return {false, whole, fraction}; }
  std::string Text() const;  // shortest; integers without a fraction
};

// A number as JSON writes it. Nothing if its exponent is beyond those of a double.
std::optional<Decimal> ParseDecimal(std::string_view json_number);
int Compare(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool included = true;
};

struct NumberDigits {  // at most; more where a bound has more
  uint32_t whole = 19, fraction = 15;
};

// The numbers that hold to all that was said so far.
class NumberSet {
 public:
  void AtLeast(const Bound& bound);
  void AtMost(const Bound& bound);
  void Exclude(const Decimal& value);
  void MultipleOf(const Decimal& divisor) { multiples_.push_back(divisor); }  // not zero
  void NoMultipleOf(const Decimal& divisor) { others_.push_back(divisor); }   // not zero
  bool Has(const Decimal& value) const;

  // Texts of the integers among them, of the others, or of both. An integer is written without a
  // fraction where only integers may be; there is no negative zero. Exponents only where nothing
  // was said of the number. Divisors must be Writable.
  Term Write(Terms& terms, bool integers, bool fractions, const NumberDigits& digits) const;
  static bool Writable(const Decimal& divisor);

 private:
  struct Interval {
    std::optional<Bound> low, high;
  };

  bool Unrestricted() const;

  std::vector<Interval> intervals_ = {{}};
  std::vector<Decimal> multiples_, others_;
};

}  // namespace minnow::constrain
