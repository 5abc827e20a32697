#include "constrain/lark.h"

#include <CppUTest/TestHarness.h>

#include <random>
#include <string>
#include <vector>

#include "constrain/grammar_language.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

using Language = constrain::GrammarLanguage<CompileLark>;

Status Refusal(const std::string& grammar) { return constrain::Refusal<CompileLark>(grammar); }
double SecondsOf(const std::string& grammar) { return constrain::SecondsOf<CompileLark>(grammar); }

}  // namespace

TEST_GROUP(Lark){};

TEST(Lark, ReadsArithmeticWithSpaceBetweenTerminals) {
  Language sum(R"x(
// sums of products
?start: sum
?sum: product
    | sum "+" product   -> add
    | sum "-" product   -> sub
?product: atom
    | product "*" atom  -> mul
?atom: NUMBER           -> number
     | "-" atom         -> neg
     | "(" sum ")"      # again
%import common.NUMBER
%import common.WS_INLINE
%ignore WS_INLINE
)x");
  CHECK(sum.HasAll({"1", " 1 +2 ", "-(1.5e3 - 2)*  4", "1-\t-1"}));
  CHECK(sum.HasNone({"", "+", "1 +", "1\n+ 2", "(1", "1. 5e 3 e"}));
}

TEST(Lark, WhatIsIgnoredIsBoundedAndNotInsideTerminals) {
  Language words(
      "start: WORD (\",\" WORD)*\nWORD: \"a\"+ \"b\"\n%ignore \" \"\n%ignore /#[^\\n]*\\n/");
  CHECK(words.HasAll({"ab", "  aab , ab ", "ab#, and more\n, # x\n ab"}));
  CHECK(words.HasNone({"a b", "ab,", "ab # no end"}));
  CHECK(words.Has("ab" + std::string(64, ' ')));
  CHECK_FALSE(words.Has("ab" + std::string(65, ' ')));
}

TEST(Lark, ReadsJson) {
  Language json(R"x(
?start: value
?value: object | array | string | SIGNED_NUMBER -> number
      | "true" -> true | "false" | "null"
array  : "[" [value ("," value)*] "]"
object : "{" [pair ("," pair)*] "}"
pair   : string ":" value
string : ESCAPED_STRING
%import common (ESCAPED_STRING, SIGNED_NUMBER,
                WS)
%ignore WS
)x");
  CHECK(json.HasAll({R"({"a": [1, -2.5e+3, {"b\"": null}],
    "ü": true})",
                     "[]", " 0 ", R"("\\")"}));
  CHECK(json.HasNone({"{", "[1,]", "{\"a\" 1}", "\"\n\"", R"("\")", "nul"}));
}

TEST(Lark, ReadsEveryKindOfItem) {
  Language all(R"x(!start.2: "Hello"i _sep RANGE~2..3 [tail] opt? | PATTERN~2
_sep: "\t" | "\u00e9\\" | /[\/]\//
tail: (";" | "!")+
opt: | "opt"
RANGE.-1: "a".."f" | "ß".."ü"
PATTERN: /x.y/is
)x");
  CHECK(all.HasAll({"hELLO\tab", "Helloé\\aüf;!;", "hello//ab!opt", "X\nyxzY"}));
  CHECK(all.HasNone({"Hello\ta", "Hello\tabcd", "Hello\tabg", "x\ny", ""}));
}

TEST(Lark, CommonTerminalsAreTheUsualOnes) {
  const struct {
    const char* name;
    std::vector<std::string> in, out;
  } cases[] = {
      {"INT", {"0", "007"}, {"", "-1", "1.0"}},
      {"SIGNED_INT", {"0", "-7", "+7"}, {"--1"}},
      {"DECIMAL", {"1.", "1.5", ".5"}, {".", "1", "1e5"}},
      {"FLOAT", {"1.", ".5e-3", "1e5"}, {"1", ".", "e5", "+1.0"}},
      {"SIGNED_FLOAT", {"-1.0"}, {"-1"}},
      {"NUMBER", {"1", "1.5", "1e+9", ".5"}, {"-1", "e"}},
      {"SIGNED_NUMBER", {"-1", "+1.5e3"}, {"- 1"}},
      {"WORD", {"aB"}, {"", "a1"}},
      {"CNAME", {"_a1", "B"}, {"1a", "é"}},
      {"ESCAPED_STRING", {R"("")", R"("a\"b\\")"}, {R"("\")", "\"\n\"", R"("a"b")"}},
      {"WS", {" \n\t"}, {""}},
      {"WS_INLINE", {" \t"}, {"\n"}},
      {"NEWLINE", {"\n", "\r\n\n"}, {"\r"}},
      {"HEXDIGIT", {"f", "A", "9"}, {"g"}},
      {"LETTER", {"a", "Z"}, {"ä"}},
      {"C_COMMENT", {"/**/", "/* * / **/"}, {"/*/", "/**/ */"}},
      {"CPP_COMMENT", {"// x"}, {"/ x", "//\n"}},
  };
  for (const auto& c : cases) {
    Language terminal(fmt::format("start: X\n%import common.{} -> X", c.name));
    CHECK(terminal.HasAll(c.in));
    CHECK(terminal.HasNone(c.out));
  }
}

// As the header says: Lark's lexer would take "theend" for one word.
TEST(Lark, IsWithoutALexer) {
  CHECK(Language("start: WORD \"end\"\n%import common.WORD").Has("theend"));
}

TEST(Lark, NamesLineAndColumnOfWhatIsWrong) {
  const struct {
    const char *grammar, *message;
  } cases[] = {
      {"", "no rule 'start'"},
      {"start: nix", "line 1, column 8: rule 'nix' is defined nowhere"},
      {"start: \"é\" NIX", "line 1, column 12: terminal 'NIX' is defined nowhere"},
      {"start: \"a\"\nstart: \"b\"",
       "line 2, column 1: rule 'start' is defined at line 1, column 1"},
      {"start: A\nA: \"a\"\nA: \"b\"", "line 3, column 1: terminal 'A' is defined at line 2"},
      {"start: A\nA: \"a\" B\nB: A?", "uses itself: only rules"},
      {"start: A\nA: start", "line 2, column 4: rule 'start' cannot be used in a terminal"},
      {"start: \"a", "line 1, column 8: this string does not end"},
      {"start: /a", "line 1, column 8: this pattern does not end"},
      {"start: /a\\", "line 1, column 8: this pattern does not end"},
      {"start: /(a/", "line 1, column 8, in this pattern: offset 0: this group is not closed"},
      {"start: (\"a\"\nb: \"c\"",
       "line 2, column 2: `)` belongs here, for the group that begins at "
       "line 1, column 8"},
      {"start: [\"a\")", "line 1, column 12: `]` belongs here"},
      {"start: \"a\")", "line 1, column 11: the end of the line"},
      {"start \"a\"", "line 1, column 7: `:` belongs"},
      {"start: * \"a\"", "line 1, column 8: there is nothing to repeat"},
      {"start: \"a\"~", "line 1, column 11: a repetition is ~ n"},
      {"start: \"a\"~3..2", "line 1, column 11: from 3 to 2"},
      {"start: \"a\"..\"bc\"", "line 1, column 8: the range"},
      {"start: \"ab\"..\"c\"", "line 1, column 8: a range goes from"},
      {"start: \"b\"..\"a\"", "line 1, column 8: the range"},
      {"start: \"a\" -> ", "a name belongs after `->`"},
      {"start: start \"a\"", "line 1, column 1: every alternative of rule 'start' begins with"},
      {"start: a\na: b \"x\" | \"y\"\nb: a \"z\"", "left recursion"},
      {"%import common.WS -> ws", "line 1, column 16: a terminal's name"},
      {"start: \"\\q\"", "line 1, column 9: \\q means nothing"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kInvalid, c.message, Refusal(c.grammar));
}

TEST(Lark, RefusesByNameWhatItDoesNotHave) {
  const struct {
    const char *grammar, *message;
  } cases[] = {
      {"pair{a, b}: a b", "line 1, column 5: templates"},
      {"start: pair{x, y}", "line 1, column 8: templates"},
      {"start: A\n%declare A", "line 2, column 1: %declare is not supported"},
      {"%extend start: \"a\"", "line 1, column 1: %extend is not supported"},
      {"%override start: \"a\"", "line 1, column 1: %override"},
      {"%import python.NAME", "line 1, column 9: only `common`"},
      {"%import .mine.NAME", "line 1, column 9: only `common`"},
      {"%import common.NIX", "line 1, column 16: `common` has no terminal 'NIX'"},
      {"start: /a/x", "line 1, column 11: the flags of a pattern are i and s, not x"},
      {"start: /a(?=b)/", "line 1, column 8, in this pattern: offset 1: look-around"},
      {"start: \"a\"~100001", "line 1, column 11: a repetition counts to 100000"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kUnsupported, c.message, Refusal(c.grammar));
}

TEST(Lark, HostileGrammarsEndQuickly) {
  std::string chain, terminals = "start: T0\n", mutual = "start: r0\n", ignored = "start: \"a\"\n";
  for (int i = 0; i < 12'000; ++i) {
    terminals += fmt::format("T{}: T{}\n", i, i + 1);
    mutual += fmt::format("r{}: \"a\" r{} | r{} \"b\" | \"c\"\n", i, (i * 7 + 1) % 12'000,
                          (i + 1) % 12'000);
    ignored += fmt::format("%ignore \"{}\"\n", i);
  }
  terminals += "T12000: \"a\"";
  CHECK_ERROR(Code::kInvalid, "nested too deep", Refusal(terminals));
  CHECK_ERROR(Code::kInvalid, "left recursion", Refusal(mutual));
  CHECK_ERROR(Code::kInvalid, "more than 200 groups in groups",
              Refusal("start: " + Times(60'000, "(")));
  std::string classes = "start:";
  for (int i = 0; i < 20'000; ++i) classes += fmt::format(" /[\\p{{L}}\\u{{{:x}}}]/", 0x1F000 + i);
  CHECK_ERROR(Code::kUnsupported, "more than 100000 ranges together", Refusal(classes));
  const std::string hostile[] = {
      classes,
      terminals,
      mutual,
      ignored,
      "start: " + Times(120'000, "\"a\" "),
      "start: " + Times(120'000, "\"a\" ") + "\n%ignore /[ \\t]+/",
      "start: " + Times(120'000, "\"a\"i"),
      "start: " + Times(80'000, "\"a\" | "),
      "start: \"" + Times(500'000, "a") + "\"i",
      "start: " + Times(60'000, "(\"a\")"),
      "start: start | " + Times(40'000, "start \"a\" | ") + "\"b\"",
      "start: " + Times(200, "(") + Times(200, "\"a\"*)*"),
      "start: " + Times(200, "[") + "\"a\"" + Times(200, "]"),
      "start: /(a+)+$/",
      "start: " + Times(20'000, "/[\\p{L}]/ "),
      "start: \"a\"\n" + Times(30'000, "%ignore /x*/\n"),
      "start: \"a\"\n%ignore /(x*)*y{0,100000}/",
      Times(500'000, "\n"),
      Times(250'000, "//"),
      Times(500'000, "%"),
  };
  for (const std::string& grammar : hostile) {
    const double seconds = SecondsOf(grammar);
    if (seconds > 1) FAIL(fmt::format("{} s: {}", seconds, grammar.substr(0, 40)).c_str());
  }
}

TEST(Lark, NoMutatedGrammarCrashes) {
  const std::string seed = R"(?start: (x | y)+ "e"i~2..3 [Z] // c
x: x /[a-z\/]|b+/i -> q | "\"\\" y?
!y: "b" ( start | Z )+ | Z~0..4 |
Z.1: "a".."f" Y
%import common.INT -> Y
%ignore " "
)";
  const std::string_view alphabet = "()[]{}|*+?~.\\-,:/\"#% \nstartxyZI09i\xc3\xa9\xff";
  std::mt19937 random(7);
  int n_compiled = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string grammar = seed;
    for (size_t n = 1 + random() % 2; n-- > 0;) {
      const size_t at = random() % (grammar.size() + 1);
      const char c = alphabet[random() % alphabet.size()];
      switch (random() % 4) {
        case 0:
          grammar.insert(at, 1, c);
          break;
        case 1:
          grammar.erase(at, 1 + random() % 3);
          break;
        case 2:
          grammar.insert(at, grammar.substr(random() % (grammar.size() + 1), random() % 12));
          break;
        default:
          if (at < grammar.size()) grammar[at] = c;
      }
    }
    CHECK(SecondsOf(grammar) < 1);
    Terms terms;
    const auto start = CompileLark(terms, grammar);
    if (!start.ok()) {
      CHECK(!start.status().message().empty());
      continue;
    }
    if (!terms.Seal().ok()) continue;
    ++n_compiled;
    (void)terms.Derive(*start, "bbabzee");
  }
  CHECK(n_compiled > 100);
}
