#include "constrain/normalize.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "constrain/json_text.h"
#include "constrain/spans.h"
#include "constrain/value_patterns.h"
#include "test_util.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

// What is expected: the value, or, of an error, "?" for one that an option would settle and "!" for
// one that is none of the kind.
std::string Shown(const Result<std::string>& result) {
  if (result.ok()) return *result;
  const Status status = result.status();
  CHECK_FALSE(status.message().empty());
  return status.code() == Code::kPrecondition ? "?" : status.code() == Code::kInvalid ? "!" : "x";
}

void CheckShown(const char* text, const char* expected, const Result<std::string>& result) {
  STRCMP_EQUAL_TEXT(expected, Shown(result).c_str(), text);
}

struct Case {
  const char *text, *expected;
};

// A random string of a language, letter by letter.
std::string Draw(Terms& terms, Term t, std::mt19937& random) {
  std::string text;
  while (
      !(terms.Nullable(t) && (text.size() > 24 || random() % 3 == 0 || terms.First(t).empty()))) {
    const ByteSet first = terms.First(t);
    unsigned pick = random() % static_cast<unsigned>(first.Count());
    uint8_t byte = 0;
    for (unsigned b = 0;; ++b) {
      if (first.Has(static_cast<uint8_t>(b)) && pick-- == 0) {
        byte = static_cast<uint8_t>(b);
        break;
      }
    }
    text += static_cast<char>(byte);
    t = terms.Derive(t, byte);
  }
  return text;
}

bool Has(Terms& terms, Term t, std::string_view text) {
  return terms.Nullable(terms.Derive(t, text));
}

}  // namespace

TEST_GROUP(Normalize){};

TEST(Normalize, DatesThatAreOfOneReading) {
  const Case cases[] = {
      {"30/03/2018", "2018-03-30"},
      {"03/30/2018", "2018-03-30"},
      {"25/12/2018", "2018-12-25"},
      {"05/05/2018", "2018-05-05"},
      {"17/1/2018", "2018-01-17"},
      {"30-03-18", "2018-03-30"},
      {"31.12.69", "2069-12-31"},
      {"31.12.70", "1970-12-31"},
      {"2018-03-30", "2018-03-30"},
      {"2018/3/4", "2018-03-04"},
      {"2018.02.22", "2018-02-22"},
      {"20180304", "2018-03-04"},
      {"25032018", "2018-03-25"},
      {"29/02/2016", "2016-02-29"},
      {"29/02/2000", "2000-02-29"},
      {"30 MAR 2018", "2018-03-30"},
      {"05 MAY 18", "2018-05-05"},
      {"30 March 2018", "2018-03-30"},
      {"30th of March, 2018", "2018-03-30"},
      {"1st Sept. 2018", "2018-09-01"},
      {"30MAR2018", "2018-03-30"},
      {"01-NOV-2017", "2017-11-01"},
      {"14/JUN/2017", "2017-06-14"},
      {"4.Dec.17", "2017-12-04"},
      {"OCT 3, 2016", "2016-10-03"},
      {"MAR 30, 2018", "2018-03-30"},
      {"March 3rd 2018", "2018-03-03"},
      {"Fri, 30 March 2018", "2018-03-30"},
      {"Friday 30/03/2018", "2018-03-30"},
      {" 30\u00A0 March\n2018 ", "2018-03-30"},
      {"25/12/2018 8:13:39 PM", "2018-12-25T20:13:39"},
      {"25/12/2018 12:05 AM", "2018-12-25T00:05"},
      {"25/12/2018 12:05PM", "2018-12-25T12:05"},
      {"20 MAR 2018 18:50", "2018-03-20T18:50"},
      {"2018-03-30T20:13:39Z", "2018-03-30T20:13:39Z"},
      {"2018-03-30 20:13+08:00", "2018-03-30T20:13+08:00"},
  };
  for (const Case& c : cases) {
    CheckShown(c.text, c.expected, NormalizeDate(c.text));
    for (DateOrder order : {DateOrder::kDayFirst, DateOrder::kMonthFirst}) {
      CheckShown(c.text, c.expected, NormalizeDate(c.text, {order}));
    }
  }
}

TEST(Normalize, DatesOfTwoReadingsAreLeftToTheOption) {
  const Case cases[] = {
      {"03/04/2018", "2018-04-03"}, {"12-01-19", "2019-01-12"},
      {"6/1/2018", "2018-01-06"},   {"11.02.18", "2018-02-11"},
      {"01022018", "2018-02-01"},   {"9/2/2017 10:52", "2017-02-09T10:52"},
  };
  for (const Case& c : cases) {
    CheckShown(c.text, "?", NormalizeDate(c.text));
    CheckShown(c.text, c.expected, NormalizeDate(c.text, {DateOrder::kDayFirst}));
  }
  CheckShown("03/04/2018", "2018-03-04", NormalizeDate("03/04/2018", {DateOrder::kMonthFirst}));
  CHECK_ERROR(Code::kPrecondition, "day 3 of month 4 or day 4 of month 3",
              NormalizeDate("03/04/2018").status());
  DateOptions births;
  births.century_from = 1930;
  CheckShown("30/03/29", "2029-03-30", NormalizeDate("30/03/29", births));
  CheckShown("30/03/30", "1930-03-30", NormalizeDate("30/03/30", births));
}

TEST(Normalize, WhatIsNoDateIsLeftAlone) {
  for (const char* text : {"",
                           " ",
                           "30/02/2018",
                           "29/02/2018",
                           "29/02/1900",
                           "31/04/2018",
                           "32/01/2018",
                           "13/13/2018",
                           "00/01/2018",
                           "01/00/2018",
                           "30/03",
                           "March 2018",
                           "2018",
                           "30 Foo 2018",
                           "30/03-2018",
                           "30/03/2018x",
                           "30/03/2018 25:00",
                           "30/03/2018 8:1",
                           "30/03/2018 13:00 PM",
                           "1234567",
                           "123456789",
                           "99999999",
                           "30/03/018",
                           "300/03/2018",
                           "MAR 30 18",
                           "tomorrow",
                           "\xFF",
                           "30/03/2018 and 31/03/2018",
                           "2018-03-30T",
                           "0000-01-01"}) {
    CheckShown(text, "!", NormalizeDate(text));
  }
  CHECK_ERROR(Code::kInvalid, "no such day", NormalizeDate("30/02/2018").status());
  CheckShown("long", "!", NormalizeDate(std::string(1'000'000, '1')));
}

TEST(Normalize, NumbersByEvidence) {
  const Case cases[] = {
      {"9.00", "9.00"},
      {"0.00", "0.00"},
      {"-0.00", "0.00"},
      {"1,234.50", "1234.50"},
      {"1.234,50", "1234.50"},
      {"1 234", "1234"},
      {"1\u202F234,5", "1234.5"},
      {"1\u00A0234\u00A0567.8", "1234567.8"},
      {"1'234.50", "1234.50"},
      {"1\u2019234", "1234"},
      {"12,34,567.00", "1234567.00"},
      {"1,234", "1234"},
      {"1.234", "1.234"},
      {"0,123", "0.123"},
      {"1,23", "1.23"},
      {"1,2345", "1.2345"},
      {"1234,567", "1234.567"},
      {"1,234,567", "1234567"},
      {"1.234.567", "1234567"},
      {"1.234.567,8", "1234567.8"},
      {"007", "7"},
      {"00.50", "0.50"},
      {".5", "0.5"},
      {"-3%", "-3"},
      {"6 %", "6"},
      {"+7", "7"},
      {"- 7", "-7"},
      {"\u22127", "-7"},
      {"(9.99)", "-9.99"},
      {"9.99-", "-9.99"},
      {" 42\n", "42"},
      {"123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"},
  };
  for (const Case& c : cases) CheckShown(c.text, c.expected, NormalizeNumber(c.text));
}

TEST(Normalize, NumbersByTheOption) {
  const NumberOptions comma{','}, point{'.'};
  CheckShown("1,234", "1.234", NormalizeNumber("1,234", comma));
  CheckShown("1,234", "1234", NormalizeNumber("1,234", point));
  CheckShown("1.234", "1234", NormalizeNumber("1.234", comma));
  CheckShown("1.234", "1.234", NormalizeNumber("1.234", point));
  CheckShown("1.234,5", "1234.5", NormalizeNumber("1.234,5", comma));
  CheckShown("1 234,5", "1234.5", NormalizeNumber("1 234,5", comma));
  CHECK_ERROR(Code::kInvalid, "decimal sign is '.'", NormalizeNumber("1.234,5", point).status());
  CHECK_ERROR(Code::kInvalid, "decimal sign is '.'", NormalizeNumber("1,23", point).status());
  CHECK_ERROR(Code::kInvalid, "decimal sign is ','", NormalizeNumber("9.00", comma).status());
  CHECK_ERROR(Code::kInvalid, "it is '.' or ','", NormalizeNumber("1", {';'}).status());
}

TEST(Normalize, WhatIsNoNumberIsLeftAlone) {
  for (const char* text : {"",
                           "-",
                           "%",
                           ".",
                           ",5",
                           "5.",
                           "1.2.3",
                           "1,2,3",
                           "1,23,4",
                           "12 34",
                           "1,234,56",
                           "1.234.56",
                           "1,234.567,890",
                           "1 234,567 890",
                           "1234 567",
                           "1--2",
                           "--1",
                           "1e5",
                           "0x10",
                           "12a",
                           "RM 5",
                           "(5",
                           "5)",
                           "(-5)",
                           "()",
                           "1,,234",
                           "1 .5",
                           "\u0661",
                           "\xFF",
                           "1234,567,890",
                           ",123"}) {
    CheckShown(text, "!", NormalizeNumber(text));
  }
  CheckShown("long", "!", NormalizeNumber(std::string(1'000'000, '1')));
}

TEST(Normalize, MoneyByItsSign) {
  const struct {
    const char *text, *amount, *currency;
  } cases[] = {
      {"RM 12.00", "12.00", "MYR"},
      {"RM9.00", "9.00", "MYR"},
      {"-RM5.99", "-5.99", "MYR"},
      {"RM-9.99", "-9.99", "MYR"},
      {"RM 9.99-", "-9.99", "MYR"},
      {"(RM 5.00)", "-5.00", "MYR"},
      {"rm 1,234.50", "1234.50", "MYR"},
      {"MYR 3", "3", "MYR"},
      {"12,00 EUR", "12.00", "EUR"},
      {"\u20AC 1.234,50", "1234.50", "EUR"},
      {"1\u00A0234,50\u00A0\u20AC", "1234.50", "EUR"},
      {"\u00A3.50", "0.50", "GBP"},
      {"US$ 3", "3", "USD"},
      {"S$3.20", "3.20", "SGD"},
      {"Rp 15.000.000", "15000000", "IDR"},
      {"12 z\u0142", "12", "PLN"},
      {"CHF 1'234.50", "1234.50", "CHF"},
      {"\u22121 \u20AC", "-1", "EUR"},
      {"usd 5", "5", "USD"},
      {"Rp.15.000.000", "15000000", "IDR"},
  };
  for (const auto& c : cases) {
    const auto money = NormalizeMoney(c.text);
    if (!money.ok()) FAIL(money.status().message().c_str());
    STRCMP_EQUAL_TEXT(c.amount, money->amount.c_str(), c.text);
    STRCMP_EQUAL_TEXT(c.currency, money->currency.c_str(), c.text);
  }
}

TEST(Normalize, MoneyThatSeveralCountriesWriteAlikeIsLeftToTheOption) {
  CHECK_ERROR(Code::kPrecondition, "$ may be USD", NormalizeMoney("$9").status());
  CHECK_ERROR(Code::kPrecondition, "does not say its currency", NormalizeMoney("9.00").status());
  MoneyOptions options;
  options.currency = "SGD";
  STRCMP_EQUAL("SGD", NormalizeMoney("$9", options)->currency.c_str());
  STRCMP_EQUAL("SGD", NormalizeMoney("9.00", options)->currency.c_str());
  STRCMP_EQUAL("MYR", NormalizeMoney("RM 9", options)->currency.c_str());
  options.currency = "MYR";  // which is not written "$"
  CHECK_ERROR(Code::kPrecondition, "$ may be", NormalizeMoney("$9", options).status());
  options.currency = "JPY";
  STRCMP_EQUAL("JPY", NormalizeMoney("\u00A5 900", options)->currency.c_str());
  options.currency = "yen";
  CHECK_ERROR(Code::kInvalid, "ISO 4217", NormalizeMoney("5", options).status());
  options.currency = "D A";  // across two codes of the list
  CHECK_ERROR(Code::kInvalid, "ISO 4217", NormalizeMoney("5", options).status());
  options = {};
  options.number.decimal = ',';
  STRCMP_EQUAL("1.234", NormalizeMoney("RM 1,234", options)->amount.c_str());
  for (const char* none : {"", "RM", "XYZ 5", "RM 5 RM", "RM 5 per kg", "5 6 EUR", "RM 1.2.3",
                           "$$5", "-RM-5", "\xFF 5"}) {
    CHECK_EQUAL(static_cast<int>(Code::kInvalid),
                static_cast<int>(NormalizeMoney(none).status().code()));
  }
}

TEST(Normalize, PhoneNumbersByTheCountry) {
  const struct {
    const char *text, *country, *expected;
  } cases[] = {
      {"03-40210276", "MY", "+60340210276"},
      {"+603-1234 5678", "", "+60312345678"},
      {"+603-1234 5678", "DE", "+60312345678"},
      {"0060 3 1234 5678", "", "+60312345678"},
      {"(+60) 3-4021 0276", "", "+60340210276"},
      {"+44 (0)20 7946 0958", "", "+442079460958"},
      {"020 7946 0958", "GB", "+442079460958"},
      {"(212) 555-0199", "US", "+12125550199"},
      {"1-212-555-0199", "US", "+12125550199"},
      {"06 1234 5678", "IT", "+390612345678"},  // whose 0 stays
      {"6123 4567", "SG", "+6561234567"},
      {"8 495 123-45-67", "RU", "+74951234567"},
      {"03-40210276", "", "0340210276"},
      {"03.4021.0276", "", "0340210276"},
  };
  for (const auto& c : cases) {
    CheckShown(c.text, c.expected, NormalizePhone(c.text, {c.country}));
  }
  for (const char* none :
       {"", "+", "12", "03-1234567 / 7654321", "03-1234567 ext 3", "call us", "1234567890123456",
        "(03 1234567", "03) 1234567", "((03)) 1234567", "+0312345678", "000 0000 0000", "\xFF"}) {
    CheckShown(none, "!", NormalizePhone(none));
  }
  CHECK_ERROR(Code::kUnsupported, "country \"XX\"", NormalizePhone("12345", {"XX"}).status());
}

TEST(Normalize, WhatPeopleMarkedOnRealReceipts) {
  const std::string folder =
      minnow::test::DataOrSkip("documents/receipts", "what people marked on real receipts");
  if (folder.empty()) return;
  Terms terms;
  const Term date_pattern = DatePattern(terms);
  CHECK_OK(terms.Seal());
  SpanOptions fuzzy;
  fuzzy.fuzzy_space = true;
  int receipts = 0, dates = 0, companies = 0, totals = 0, addresses = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const auto read = [](std::filesystem::path path) {
      std::ifstream in(path);
      return std::string(std::istreambuf_iterator<char>(in), {});
    };
    const auto fields = nlohmann::json::parse(read(entry.path()), nullptr, false);
    const std::string text = read(std::filesystem::path(entry.path()).replace_extension(".txt"));
    if (!fields.is_object() || text.empty()) continue;
    ++receipts;
    const auto spans = DocumentSpans::Create(text, fuzzy);
    CHECK_OK(spans.status());
    // A span of the automaton exactly where it is found again.
    const auto spanned = [&](const std::string& value) {
      uint32_t state = DocumentSpans::kStart;
      for (const char c : JsonContent(value)) {
        if (state != Automaton::kDead) state = (*spans)->Next(state, static_cast<uint8_t>(c));
      }
      const bool written =
          state != Automaton::kDead && state != DocumentSpans::kStart && (*spans)->Accepts(state);
      CHECK_EQUAL(written, !FindSpan(text, value, fuzzy).empty());
      return written;
    };
    const std::string date = fields.value("date", "");
    companies += spanned(fields.value("company", "")) ? 1 : 0;
    addresses += spanned(fields.value("address", "")) ? 1 : 0;
    totals += spanned(fields.value("total", "")) ? 1 : 0;
    dates += spanned(date) ? 1 : 0;
    CHECK_TEXT(NormalizeDate(date, {DateOrder::kDayFirst}).ok(), date.c_str());
    CHECK_TEXT(Has(terms, date_pattern, date), date.c_str());
  }
  // What is not there was corrected by whoever marked it.
  CHECK(receipts > 300);
  CHECK(dates * 100 >= receipts * 99);
  CHECK(totals * 100 >= receipts * 99);
  CHECK(companies * 100 >= receipts * 95);
  CHECK(addresses * 100 >= receipts * 75);
}

// Whatever is copied: a value or a reason, and the value is one of its own kind.
TEST(Normalize, AnyTextAndWhatBecameOfIt) {
  std::mt19937 random(9);
  const std::string letters[] = {"0",  "1",  "2", "03", "2018",   "20",     "12",   "345",
                                 ".",  ",",  " ", "-",  "/",      ":",      "'",    "(",
                                 ")",  "+",  "%", "RM", "$",      "EUR",    "mar",  "May",
                                 "th", "PM", "T", "Z",  "\u00A0", "\u2212", "\xFF", "\n"};
  size_t values = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (size_t n = 1 + random() % 7; n > 0; --n) text += letters[random() % std::size(letters)];
    if (const auto number = NormalizeNumber(text); number.ok()) {
      ++values;
      CHECK(nlohmann::json::parse(*number, nullptr, false).is_number());
      STRCMP_EQUAL_TEXT(number->c_str(), Shown(NormalizeNumber(*number, {'.'})).c_str(),
                        text.c_str());
    }
    if (const auto date = NormalizeDate(text, {DateOrder::kDayFirst}); date.ok()) {
      ++values;
      STRCMP_EQUAL_TEXT(date->c_str(), Shown(NormalizeDate(*date)).c_str(), text.c_str());
    }
    if (const auto money = NormalizeMoney(text); money.ok()) {
      ++values;
      CHECK_EQUAL(3u, money->currency.size());
      STRCMP_EQUAL_TEXT(money->amount.c_str(), Shown(NormalizeNumber(money->amount, {'.'})).c_str(),
                        text.c_str());
    }
    if (const auto phone = NormalizePhone(text, {"MY"}); phone.ok()) {
      ++values;
      STRCMP_EQUAL_TEXT(phone->c_str(), Shown(NormalizePhone(*phone)).c_str(), text.c_str());
    }
  }
  CHECK(values > 10'000);
}

TEST(Normalize, EveryNumberOfThePatternIsOne) {
  Terms terms;
  const Term pattern = NumberPattern(terms);
  CHECK_OK(terms.Seal());
  std::mt19937 random(6);
  for (int i = 0; i < 3000; ++i) {
    const std::string text = Draw(terms, pattern, random);
    const auto number = NormalizeNumber(text);
    if (!number.ok()) FAIL(number.status().message().c_str());
  }
  for (const char* text : {"1,234.50", "1.234,50", "1 234", "1\u00A0234,5", "-3%", "12.00", "9.99-",
                           "(9.99)", "12,34,567.00", ".5", "+7", "0", "1234567890"}) {
    CHECK_TEXT(Has(terms, pattern, text), text);
  }
  for (const char* text :
       {"", "-", "1.", "1,,2", "RM 1", "1.2.3", "1 23", "one", "(1", "1,234.5.6"}) {
    CHECK_FALSE_TEXT(Has(terms, pattern, text), text);
  }
}

TEST(Normalize, EveryDateOfThePatternIsOneOrNoDayOfItsMonth) {
  Terms terms;
  const Term pattern = DatePattern(terms);
  CHECK_OK(terms.Seal());
  std::mt19937 random(7);
  int whole = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = Draw(terms, pattern, random);
    const auto date = NormalizeDate(text);
    whole += date.ok() ? 1 : 0;
    if (date.ok() || date.status().code() == Code::kPrecondition) continue;
    STRCMP_CONTAINS("no such day", date.status().message().c_str());
  }
  CHECK(whole > 1000);
  for (const char* text : {"2018-03-30", "30/03/18", "3/30/2018", "MAR 30, 2018", "30 March 2018",
                           "30th of march 2018", "01-NOV-2017", "14/JUN/2017", "20180304",
                           "25032018", "11.02.18", "05 MAY 18", "30MAR2018", "Sept. 3rd, 2018"}) {
    CHECK_TEXT(Has(terms, pattern, text), text);
  }
  for (const char* text : {"", "32/01/2018", "13/13/2018", "30/03", "March 2018", "30/03-2018",
                           "2018-13-01", "99999999", "30 Foo 2018"}) {
    CHECK_FALSE_TEXT(Has(terms, pattern, text), text);
  }
}
