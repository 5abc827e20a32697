#include "constrain/value_patterns.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace minnow::constrain {
namespace {

// Terms with the few shapes that the patterns are made of.
class Shapes {
 public:
  explicit Shapes(Terms& terms) : terms_(terms), digit_(Range('0', '9')) {}

  Term Range(char first, char last) {
    return terms_.Bytes(ByteSet::Range(static_cast<uint8_t>(first), static_cast<uint8_t>(last)));
  }
  Term Text(std::string_view text) { return terms_.Literal(text); }
  Term Any(std::initializer_list<std::string_view> texts) {
    const std::vector<std::string> strings(texts.begin(), texts.end());
    return terms_.Strings(strings);
  }
  Term Row(std::initializer_list<Term> parts) {
    return terms_.Concat(std::span<const Term>(parts.begin(), parts.size()));
  }
  Term One(std::initializer_list<Term> parts) {
    return terms_.Or(std::span<const Term>(parts.begin(), parts.size()));
  }
  Term Maybe(Term a) { return terms_.Optional(a); }
  Term Digits(uint32_t min, uint32_t max) { return terms_.Repeat(digit_, min, max); }
  // In upper, lower or mixed case.
  Term Word(std::string_view letters) {
    std::vector<Term> parts;
    for (const char c : letters) {
      ByteSet both;
      both.Add(static_cast<uint8_t>(c));
      both.Add(static_cast<uint8_t>(c ^ 0x20));
      parts.push_back(terms_.Bytes(both));
    }
    return terms_.Concat(parts);
  }

 private:
  Terms& terms_;
  const Term digit_;
};

constexpr std::string_view kMonths[] = {"january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december"};

}  // namespace

Term NumberPattern(Terms& terms) {
  Shapes s(terms);
  const Term fraction_point = s.Row({s.Text("."), s.Digits(1, kUnbounded)});
  const Term fraction_comma = s.Row({s.Text(","), s.Digits(1, kUnbounded)});
  const Term fraction = s.One({fraction_point, fraction_comma});
  const auto grouped = [&](Term separator, Term tail) {
    return s.Row({s.Digits(1, 3), terms.Repeat(s.Row({separator, s.Digits(3, 3)}), 1, kUnbounded),
                  s.Maybe(tail)});
  };
  const Term indian =
      s.Row({s.Digits(1, 2), terms.Repeat(s.Row({s.Text(","), s.Digits(2, 2)}), 1, kUnbounded),
             s.Text(","), s.Digits(3, 3), s.Maybe(fraction_point)});
  const Term amount = s.One({
      s.Row({s.Digits(1, kUnbounded), s.Maybe(fraction)}),
      fraction_point,
      grouped(s.Text(","), fraction_point),
      grouped(s.Text("."), fraction_comma),
      grouped(s.Any({" ", "\u00A0", "\u2009", "\u202F"}), fraction),
      grouped(s.Any({"'", "\u2019"}), fraction_point),
      indian,
  });
  const Term minus = s.Any({"-", "\u2212"});
  const Term percent = s.Maybe(s.Row({s.Maybe(s.Text(" ")), s.Text("%")}));
  return s.One({
      s.Row({s.Maybe(s.One({minus, s.Text("+")})), amount, percent}),
      s.Row({amount, minus}),
      s.Row({s.Text("("), amount, s.Text(")")}),
  });
}

Term DatePattern(Terms& terms) {
  Shapes s(terms);
  const Term day2 = s.One({s.Row({s.Text("0"), s.Range('1', '9')}),
                           s.Row({s.Range('1', '2'), s.Range('0', '9')}), s.Any({"30", "31"})});
  const Term month2 = s.One({s.Row({s.Text("0"), s.Range('1', '9')}), s.Any({"10", "11", "12"})});
  const Term day = s.One({day2, s.Range('1', '9')});
  const Term month = s.One({month2, s.Range('1', '9')});
  const Term year4 = s.Row({s.Any({"1", "2"}), s.Digits(3, 3)});
  const Term year = s.One({year4, s.Digits(2, 2)});

  std::vector<Term> forms;
  for (const std::string_view separator : {"/", "-", "."}) {
    const Term sep = s.Text(separator);
    forms.push_back(s.Row({day, sep, month, sep, year}));
    forms.push_back(s.Row({month, sep, day, sep, year}));
    forms.push_back(s.Row({year4, sep, month, sep, day}));
  }
  const Term this_age = s.Row({s.Any({"19", "20"}), s.Digits(2, 2)});
  forms.push_back(s.Row({this_age, month2, day2}));
  forms.push_back(s.Row({day2, month2, this_age}));

  std::vector<Term> whole, short_ones = {s.Word("sept")};
  for (const std::string_view name : kMonths) {
    whole.push_back(s.Word(name));
    short_ones.push_back(s.Word(name.substr(0, 3)));
  }
  const Term short_name = terms.Or(short_ones);
  const Term name = s.One({terms.Or(whole), short_name});
  const Term dotted = s.One({name, s.Row({short_name, s.Text(".")})});
  const Term ordinal = s.One({s.Word("st"), s.Word("nd"), s.Word("rd"), s.Word("th")});
  const Term nth = s.Row({day, s.Maybe(ordinal)});
  const Term space = s.Text(" ");
  const Term comma = s.Any({" ", ", ", ","});
  forms.push_back(s.Row({nth, space, s.Maybe(s.Row({s.Word("of"), space})), dotted, comma, year}));
  forms.push_back(s.Row({day, name, year}));
  for (const std::string_view separator : {"/", "-", "."}) {
    const Term sep = s.Text(separator);
    forms.push_back(s.Row({day, sep, name, sep, year}));
  }
  forms.push_back(s.Row({dotted, space, nth, comma, year4}));
  return terms.Or(forms);
}

}  // namespace minnow::constrain
