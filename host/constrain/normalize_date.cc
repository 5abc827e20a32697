#include <optional>
#include <span>
#include <vector>

#include "constrain/normalize.h"
#include "constrain/normalize_text.h"

namespace minnow::constrain {
namespace {

constexpr std::string_view kMonths[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};
constexpr std::string_view kWeekdays[] = {"monday", "tuesday",  "wednesday", "thursday",
                                          "friday", "saturday", "sunday"};

struct Part {  // digits, letters in lower case, or one other character
  enum Kind { kDigits, kLetters, kOther } kind;
  std::string text;
};

std::vector<Part> Split(std::string_view text) {
  std::vector<Part> parts;
  for (const char c : text) {
    const Part::Kind kind = IsDigit(c)    ? Part::kDigits
                            : IsLetter(c) ? Part::kLetters
                                          : Part::kOther;
    if (kind == Part::kOther || parts.empty() || parts.back().kind != kind) {
      parts.push_back({kind, ""});
    }
    parts.back().text += Lower(c);
  }
  return parts;
}

// Reads parts one after the other.
class Reader {
 public:
  explicit Reader(std::vector<Part> parts) : parts_(std::move(parts)) {}
  bool AtEnd() const { return at_ == parts_.size(); }
  bool Skip(std::string_view text) {  // one part that is this
    if (AtEnd() || parts_[at_].text != text) return false;
    ++at_;
    return true;
  }
  bool SkipSpace() {
    const size_t before = at_;
    while (Skip(" ")) {
    }
    return at_ != before;
  }
  const std::string* Take(Part::Kind kind) {
    return AtEnd() || parts_[at_].kind != kind ? nullptr : &parts_[at_++].text;
  }
  size_t at() const { return at_; }
  void Return(size_t at) { at_ = at; }

 private:
  std::vector<Part> parts_;
  size_t at_ = 0;
};

std::optional<int> NameIndex(std::span<const std::string_view> names, std::string_view text,
                             size_t shortest) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (text == names[i] || (text.size() >= shortest && text == names[i].substr(0, shortest))) {
      return static_cast<int>(i);
    }
  }
  return std::nullopt;
}

std::optional<int> Month(std::string_view text) {
  if (text == "sept") return 8;
  return NameIndex(kMonths, text, 3);
}

bool IsOrdinal(std::string_view text) {
  return text == "st" || text == "nd" || text == "rd" || text == "th";
}

struct Field {
  int value = 0;
  size_t digits = 0;
};

std::optional<Field> TakeNumber(Reader& in, size_t most) {
  const size_t at = in.at();
  const std::string* digits = in.Take(Part::kDigits);
  if (digits != nullptr && digits->size() <= most) return Field{std::stoi(*digits), digits->size()};
  in.Return(at);
  return std::nullopt;
}

struct Day {
  int year, month, day;
};

bool Exists(const Day& d) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (d.month < 1 || d.month > 12 || d.day < 1 || d.year < 1) return false;
  const bool leap = d.year % 4 == 0 && (d.year % 100 != 0 || d.year % 400 == 0);
  return d.day <= kDays[d.month - 1] + (d.month == 2 && leap ? 1 : 0);
}

std::optional<int> Year(const Field& field, const DateOptions& options) {
  if (field.digits == 4) return field.value;
  if (field.digits != 2) return std::nullopt;
  const int from = options.century_from;
  return from + ((field.value - from) % 100 + 100) % 100;
}

Status NoDate(std::string_view text) {
  return Error(Code::kInvalid, "\"{}\" is no date in a form that is known here", Quoted(text));
}

Status NoSuchDay(std::string_view text) {
  return Error(Code::kInvalid, "\"{}\": there is no such day", Quoted(text));
}

Result<Day> Decide(std::string_view text, int first, int second, int year, DateOrder order) {
  const Day day_first{year, second, first}, month_first{year, first, second};
  if (!Exists(day_first) && !Exists(month_first)) return NoSuchDay(text);
  if (!Exists(month_first) || first == second) return day_first;
  if (!Exists(day_first)) return month_first;
  if (order == DateOrder::kUnknown) {
    return Error(Code::kPrecondition,
                 "\"{}\" may be day {} of month {} or day {} of month {}: say which comes first, "
                 "the day or the month",
                 Quoted(text), first, second, second, first);
  }
  return order == DateOrder::kDayFirst ? day_first : month_first;
}

// Eight digits: a year of this age in front or behind. Both never are: the months of one would be
// the century of the other.
Result<Day> Compact(std::string_view text, const std::string& digits, const DateOptions& options) {
  const auto number = [&](size_t at, size_t length) {
    return std::stoi(digits.substr(at, length));
  };
  const auto of_this_age = [](int year) { return year >= 1900 && year < 2100; };
  const Day year_first{number(0, 4), number(4, 2), number(6, 2)};
  if (of_this_age(year_first.year) && Exists(year_first)) return year_first;
  if (!of_this_age(number(4, 4))) return NoDate(text);
  return Decide(text, number(0, 2), number(2, 2), number(4, 4), options.order);
}

// A day by numbers and one separator.
Result<Day> Numeric(std::string_view text, Reader& in, const Field& first,
                    const DateOptions& options) {
  const std::string* separator = in.Take(Part::kOther);
  if (separator == nullptr || std::string_view("/-.").find(*separator) == std::string_view::npos) {
    return NoDate(text);
  }
  const std::string same = *separator;
  if (const std::string* name = in.Take(Part::kLetters)) {  // 30-MAR-18
    const auto month = Month(*name);
    if (!month || !in.Skip(same) || first.digits > 2) return NoDate(text);
    const auto field = TakeNumber(in, 4);
    const auto year = field ? Year(*field, options) : std::nullopt;
    if (!year) return NoDate(text);
    const Day day{*year, *month + 1, first.value};
    if (!Exists(day)) return NoSuchDay(text);
    return day;
  }
  const auto second = TakeNumber(in, 2);
  if (!second || !in.Skip(same)) return NoDate(text);
  const auto third = TakeNumber(in, 4);
  if (!third) return NoDate(text);
  if (first.digits == 4) {
    const Day day{first.value, second->value, third->value};
    if (third->digits > 2) return NoDate(text);
    if (!Exists(day)) return NoSuchDay(text);
    return day;
  }
  const auto year = Year(*third, options);
  if (!year || first.digits > 2) return NoDate(text);
  return Decide(text, first.value, second->value, *year, options.order);
}

void SkipComma(Reader& in) {
  in.SkipSpace();
  in.Skip(",");
  in.SkipSpace();
}

// "30th of March, 2018": from behind the day on.
Result<Day> DayThenName(std::string_view text, Reader& in, const Field& day,
                        const DateOptions& options) {
  const std::string* word = in.Take(Part::kLetters);
  if (word != nullptr && IsOrdinal(*word)) {
    in.SkipSpace();
    word = in.Take(Part::kLetters);
  }
  if (word != nullptr && *word == "of") {
    in.SkipSpace();
    word = in.Take(Part::kLetters);
  }
  const auto month = word != nullptr ? Month(*word) : std::nullopt;
  if (!month) return NoDate(text);
  in.Skip(".");
  SkipComma(in);
  const auto field = TakeNumber(in, 4);
  const auto year = field ? Year(*field, options) : std::nullopt;
  if (!year || day.digits > 2) return NoDate(text);
  const Day found{*year, *month + 1, day.value};
  if (!Exists(found)) return NoSuchDay(text);
  return found;
}

// "MAR 30, 2018": from behind the month on. Its year has four digits: "MAR 30 18" may be 1830.
Result<Day> NameThenDay(std::string_view text, Reader& in, int month) {
  in.Skip(".");
  in.SkipSpace();
  const auto day = TakeNumber(in, 2);
  if (!day) return NoDate(text);
  if (const size_t at = in.at(); const std::string* word = in.Take(Part::kLetters)) {
    if (!IsOrdinal(*word)) in.Return(at);
  }
  SkipComma(in);
  const auto year = TakeNumber(in, 4);
  if (!year || year->digits != 4) return NoDate(text);
  const Day found{year->value, month + 1, day->value};
  if (!Exists(found)) return NoSuchDay(text);
  return found;
}

Result<Day> ReadDay(std::string_view text, Reader& in, const DateOptions& options) {
  const size_t start = in.at();
  const std::string* word = in.Take(Part::kLetters);
  if (word != nullptr && NameIndex(kWeekdays, *word, 3)) {
    in.Skip(".");
    SkipComma(in);
    word = in.Take(Part::kLetters);
  } else if (word == nullptr) {
    in.Return(start);
  }
  if (word != nullptr) {
    const auto month = Month(*word);
    if (!month) return NoDate(text);
    return NameThenDay(text, in, *month);
  }
  const size_t number_at = in.at();
  if (const std::string* digits = in.Take(Part::kDigits);
      digits != nullptr && digits->size() == 8) {
    return Compact(text, *digits, options);
  }
  in.Return(number_at);
  const auto first = TakeNumber(in, 4);
  if (!first) return NoDate(text);
  const size_t behind = in.at();
  if (in.SkipSpace()) {
    if (in.Take(Part::kLetters) == nullptr) return NoDate(text);
    in.Return(behind);
    in.SkipSpace();
    return DayThenName(text, in, *first, options);
  }
  if (in.Take(Part::kLetters) != nullptr) {
    in.Return(behind);
    return DayThenName(text, in, *first, options);
  }
  return Numeric(text, in, *first, options);
}

// "8:13:39 PM" as "20:13:39".
std::optional<std::string> ReadTime(Reader& in) {
  const auto hour = TakeNumber(in, 2);
  if (!hour || !in.Skip(":")) return std::nullopt;
  const auto minute = TakeNumber(in, 2);
  if (!minute || minute->digits != 2) return std::nullopt;
  std::optional<Field> second;
  if (in.Skip(":")) {
    second = TakeNumber(in, 2);
    if (!second || second->digits != 2) return std::nullopt;
  }
  in.SkipSpace();
  int h = hour->value;
  const size_t at = in.at();
  if (const std::string* half = in.Take(Part::kLetters)) {
    if (*half == "am" || *half == "pm") {
      if (h < 1 || h > 12) return std::nullopt;
      h = h % 12 + (*half == "pm" ? 12 : 0);
    } else {
      in.Return(at);
    }
  }
  if (h > 23 || minute->value > 59 || (second && second->value > 59)) return std::nullopt;
  std::string out = fmt::format("{:02}:{:02}", h, minute->value);
  if (second) out += fmt::format(":{:02}", second->value);
  return out;
}

// "Z" and "+08:00", as they are written.
std::string ReadZone(Reader& in) {
  if (in.Skip("z")) return "Z";
  const size_t at = in.at();
  const std::string* sign = in.Take(Part::kOther);
  if (sign != nullptr && (*sign == "+" || *sign == "-")) {
    const auto hours = TakeNumber(in, 2);
    const bool colon = in.Skip(":");
    const auto minutes = TakeNumber(in, 2);
    if (hours && hours->digits == 2 && colon && minutes && minutes->digits == 2) {
      return fmt::format("{}{:02}:{:02}", *sign, hours->value, minutes->value);
    }
  }
  in.Return(at);
  return "";
}

}  // namespace

Result<std::string> NormalizeDate(std::string_view text, const DateOptions& options) {
  const std::string plain = PlainSpaces(text);
  if (plain.size() > kMaxNormalized) return NoDate(text);
  Reader in(Split(plain));
  MNW_ASSIGN(const Day day, ReadDay(text, in, options));
  std::string out = fmt::format("{:04}-{:02}-{:02}", day.year, day.month, day.day);
  if (in.AtEnd()) return out;
  if (!in.Skip("t")) SkipComma(in);
  auto time = ReadTime(in);
  if (time) *time += ReadZone(in);
  if (!time || !in.AtEnd()) return NoDate(text);
  return out + "T" + *time;
}

}  // namespace minnow::constrain
