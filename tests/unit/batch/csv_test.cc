#include "batch/csv.h"

#include <sstream>

#include "test_util.h"

namespace minnow::batch {
namespace {

using Row = std::vector<std::string>;

TEST_GROUP(Csv){
    // All rows, fields joined by |; a failure as its message.
    std::string Read(const std::string& text, size_t max_bytes = 1000){std::istringstream in(text);
std::string all;
for (;;) {
  auto row = ReadCsvRow(in, max_bytes);
  if (row.ok() && !*row) return all;
  all += row.ok() ? fmt::format("{}", fmt::join(**row, "|")) : "!" + row.status().message();
  all += "\n";
}
}  // namespace
};  // namespace minnow::batch

TEST(Csv, FieldsAreWhatCommasDivide) {
  STRCMP_EQUAL("a|b|c\n||\n", Read("a,b,c\n,,\n").c_str());
  STRCMP_EQUAL("a|b\n", Read("a,b").c_str());  // without a last line end
  STRCMP_EQUAL("a|b\nc|d\n", Read("a,b\r\nc,d\r\n").c_str());
  STRCMP_EQUAL("\n\n", Read("\n\n").c_str());
  STRCMP_EQUAL("", Read("").c_str());
}

TEST(Csv, QuotesHoldCommasLineEndsAndQuotes) {
  STRCMP_EQUAL("a, b|\"c\"|d\ne\n", Read("\"a, b\",\"\"\"c\"\"\",\"d\ne\"\n").c_str());
  STRCMP_EQUAL("|x\n", Read("\"\",x\n").c_str());
  STRCMP_EQUAL("a\rb\n", Read("a\rb\n").c_str());  // a lone CR is a byte
}

TEST(Csv, TellsWhatIsWrongAndGoesOnBehindIt) {
  STRCMP_EQUAL("!a quote stands inside a field\nok\n", Read("a\"b\nok\n").c_str());
  STRCMP_EQUAL("!a quote stands inside a field\nok\n", Read("\"a\"b\nok\n").c_str());
  STRCMP_EQUAL("!a quote is not closed\n", Read("x,\"abc\n").c_str());
  STRCMP_EQUAL("!a row has more than 5 bytes\nok\n", Read("123456789\nok\n", 5).c_str());
}

}  // namespace
}  // namespace minnow::batch
