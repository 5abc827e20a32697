// What a value that was copied from a document means: dates, numbers, money and phone numbers in
// one form each. Never a guess: what can be read in two ways, and nothing here decides between
// them, is an error whose message is the reason (kPrecondition where an option would help,
// kInvalid where it is none at all), and the value stays as it was copied.
// White space around the value is passed over. No locale. Threads: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow::constrain {

enum class DateOrder { kUnknown, kDayFirst, kMonthFirst };

struct DateOptions {
  DateOrder order = DateOrder::kUnknown;  // of "03/04/2018"; "30/03/2018" needs none
  int century_from = 1970;  // a year of two digits is one of the hundred that begin with this
};

// ISO 8601: "2018-03-30". Day, month and year by / - or . (a year of two digits stands last), with
// an English month, or as eight digits. With a time of day behind it, "8:13:39 PM", that follows:
// "2018-03-30T20:13:39". A weekday in front of it is passed over.
Result<std::string> NormalizeDate(std::string_view text, const DateOptions& options = {});

struct NumberOptions {
  char decimal = 0;  // '.' or ',': what stands before the fraction; 0: by evidence
};

// Decimal text as JSON has it, "-1234.50": no separators, no zeros in front; the digits behind the
// point stay as they are, and % is dropped ("5%" is "5"). "(9.99)" and "9.99-" are negative.
// Evidence: of two kinds of separators the last is the decimal one; one that comes twice separates
// thousands, as do spaces and apostrophes. A single one is decimal, but a comma in front of just
// three digits ("1,234") separates thousands, unless what stands before it is 0.
Result<std::string> NormalizeNumber(std::string_view text, const NumberOptions& options = {});

struct MoneyOptions {
  NumberOptions number;
  std::string currency;  // ISO 4217: where none is written, and where "$" could be this one
};

struct Money {
  std::string amount;    // as NormalizeNumber
  std::string currency;  // ISO 4217
};

// "RM 12.00" "-RM5.99" "$9" "12,00 EUR" "US$ 3"; a sign that several currencies share needs the
// option.
Result<Money> NormalizeMoney(std::string_view text, const MoneyOptions& options = {});

struct PhoneOptions {
  std::string country;  // ISO 3166, "MY": where the number stands without the country's code
};

// "+60340210276" where the country is known, by + or 00 in front or by the option; else the digits.
Result<std::string> NormalizePhone(std::string_view text, const PhoneOptions& options = {});

}  // namespace minnow::constrain
