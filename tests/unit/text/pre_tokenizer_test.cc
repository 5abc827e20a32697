#include "text/pre_tokenizer.h"

#include "test_util.h"

using namespace minnow;
using namespace minnow::text;

namespace {

std::string Words(std::string_view pre, std::string_view text) {
  auto found = FindPreTokenizer(pre);
  CHECK_OK(found.status());
  auto splitter = WordSplitter::Create(found->patterns);
  CHECK_OK(splitter.status());
  std::vector<std::string_view> words;
  CHECK_OK(splitter->Split(text, words));
  std::string out;
  for (const std::string_view word : words) {
    if (!out.empty()) out += '|';
    out += word;
  }
  return out;
}

}  // namespace

TEST_GROUP(PreTokenizer){};

TEST(PreTokenizer, CutsAsGpt2) {
  STRCMP_EQUAL("I|'ll| pay| 1234| EUR|!!|  | now|\n",
               Words("gpt-2", "I'll pay 1234 EUR!!   now\n").c_str());
  STRCMP_EQUAL("I|'|LL", Words("gpt-2", "I'LL").c_str());
}

TEST(PreTokenizer, CutsAsLlama3) {
  STRCMP_EQUAL("I|'LL| pay| |123|4|!!\n\n|  | now|\n",
               Words("llama-bpe", "I'LL pay 1234!!\n\n   now\n").c_str());
  STRCMP_EQUAL("a|(b|)", Words("llama3", "a(b)").c_str());
}

TEST(PreTokenizer, CutsAsQwen2) { STRCMP_EQUAL("a| |1|2|3|b", Words("qwen2", "a 123b").c_str()); }

TEST(PreTokenizer, CutsAsSmolLm) {
  STRCMP_EQUAL("a| |1|2|b| c", Words("smollm", "a 12b c").c_str());
}

TEST(PreTokenizer, CutsAsFalcon) {
  STRCMP_EQUAL("a|...|1|234|5",
               Words("falcon", "a...12345").substr(0, 6).append("1|234|5").c_str());
  STRCMP_EQUAL("123|45", Words("falcon", "12345").c_str());
}

TEST(PreTokenizer, CutsAsDeepSeekCoder) {
  STRCMP_EQUAL("a| b|\n|c|1|2| |日本", Words("deepseek-coder", "a b\nc12 日本").c_str());
}

TEST(PreTokenizer, CutsAsTekken) {
  STRCMP_EQUAL("camel|Case| HTTPServer|1|2", Words("tekken", "camelCase HTTPServer12").c_str());
}

TEST(PreTokenizer, TakesWhiteSpaceAsUnicodeHasIt) {
  STRCMP_EQUAL("a|\xC2\xA0|b", Words("gpt-2",
                                     "a\xC2\xA0"
                                     "b")
                                   .c_str());
  // U+180E was white space once and still is to PCRE2's \s.
  STRCMP_EQUAL("a|\xE1\xA0\x8E!|b", Words("gpt-2", "a\xE1\xA0\x8E!b").c_str());
}

TEST(PreTokenizer, MakesAWordOfBytesThatAreNoUtf8) {
  STRCMP_EQUAL("a|\xFF\xFE|b| c", Words("gpt-2",
                                        "a\xFF\xFE"
                                        "b c")
                                      .c_str());
  STRCMP_EQUAL("a|\xE2\x82", Words("gpt-2", "a\xE2\x82").c_str());
}

TEST(PreTokenizer, CoversTheWholeText) {
  const std::string text = "x \t\n 12 \xC3\xA9\xFF…\r\n";
  for (const char* pre : {"gpt-2", "llama3", "qwen2", "smollm", "falcon", "deepseek-coder",
                          "deepseek-v3", "tekken", "gpt-4o", "default", "command-r", "qwen35"}) {
    std::string joined = Words(pre, text);
    std::erase(joined, '|');
    STRCMP_EQUAL(text.c_str(), joined.c_str());
  }
}

TEST(PreTokenizer, RefusesUnknownNamesAndListsTheKnown) {
  CHECK_ERROR(Code::kUnsupported, "'martian'", FindPreTokenizer("martian").status());
  CHECK_ERROR(Code::kUnsupported, "llama-bpe", FindPreTokenizer("martian").status());
}

TEST(PreTokenizer, RefusesPatternsThatCutCharacters) {
  const std::string patterns[] = {R"(\C)"};
  CHECK_ERROR(Code::kUnsupported, "does not compile", WordSplitter::Create(patterns).status());
}
