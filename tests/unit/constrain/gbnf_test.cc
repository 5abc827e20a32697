#include "constrain/gbnf.h"

#include <CppUTest/TestHarness.h>

#include <random>
#include <string>
#include <vector>

#include "constrain/grammar_language.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

using Language = constrain::GrammarLanguage<CompileGbnf>;

Status Refusal(const std::string& grammar) { return constrain::Refusal<CompileGbnf>(grammar); }
double SecondsOf(const std::string& grammar) { return constrain::SecondsOf<CompileGbnf>(grammar); }

}  // namespace

TEST_GROUP(Gbnf){};

TEST(Gbnf, ReadsJson) {
  Language json(R"(# values nest
root    ::= value
value   ::= object | list | text | number | ("true" | "false" | "null") ws
object  ::= "{" ws ( text ":" ws value ("," ws text ":" ws value)* )? "}" ws
list    ::= "[" ws ( value ("," ws value)* )? "]" ws
text    ::= "\"" ( [^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number  ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws      ::= [ \t\n]{0,4}
)");
  CHECK(json.HasAll({R"({"a": [1, -2.5e+3, {"b": null}], "ü\u00e9": "\n"})", "[]", "0", "true",
                     "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"}));
  CHECK(json.HasNone({"{", "01", "[1,]", "{\"a\" 1}", "\"\n\"", "[     1]", "nul"}));
}

TEST(Gbnf, ReadsRulesOverSeveralLines) {
  Language moves(R"(root ::= (
    # numbered moves
    "1. " move " " move "\n"

    ([1-9] [0-9]? ". " move " " move "\n")*
)
move ::= (pawn | piece | castle) [+#]?   # a check or a mate
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBQR])? |
         "e.p."
piece ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
  | "??"
castle ::= "O-O" "-O"?)");
  CHECK(moves.HasAll({"1. e4 e5\n", "1. e4 e5\n2. Nf3 Nc6\n3. O-O exd8=Q#\n", "1. e.p. ??\n"}));
  CHECK(moves.HasNone({"1. e4 e5", "2. e4 e5\n", "1. e9 e5\n"}));
}

TEST(Gbnf, ReadsListsAndCharactersOfManyLanguages) {
  Language list(R"(root ::= item+
item ::= "- " [^\r\n\x0b\x0c\u0085\u2028\u2029]+ "\n")");
  CHECK(list.HasAll({"- milk\n", "- milk\n- 卵とパン\n"}));
  CHECK(list.HasNone({"", "- \n", "milk\n", "- a\u2028b\n"}));

  Language words(R"(root ::= kana+ ([ \t\n] kana+)* | emoji
kana ::= [ぁ-ゟ] | [\u30A1-\u30ff] | [、-〾]
emoji ::= [\U0001F600-\U0001F64F] . "é\x21")");
  CHECK(words.HasAll({"ひらがな カタカナ。", "😀xé!", "😀\u00e9é!"}));
  CHECK(words.HasNone({"kana", "漢字", "😀é!"}));
}

TEST(Gbnf, RepetitionsAreCounted) {
  Language counts(R"(root ::= "a"{2} "b"{1,} "c"{0,2} "d"? ("ef")+ [0-9]{ 3 , 4 })");
  CHECK(counts.HasAll({"aabef123", "aabbbccdefef1234"}));
  CHECK(counts.HasNone({"abef123", "aaef123", "aabcccef123", "aabef12", "aabef12345"}));
  Language twice(R"(root ::= "ab"? + "c"*{2})");
  CHECK(twice.HasAll({"", "ababccc"}));
  Terms terms;
  CHECK_OK(CompileGbnf(terms, "root ::= (\"a\"{1,100000} \"-\"){100000}").status());
  CHECK(terms.size() < 50);
  CHECK_ERROR(Code::kUnsupported, "line 1, column 13: a repetition counts to 100000 at most",
              Refusal("root ::= \"a\"{100001}"));
}

TEST(Gbnf, LiteralsHoldEscapesAndEmptyAlternatives) {
  Language text("root ::= \"\\\"\\\\\\n\\t\\[\\]\\x41\\u00e9\" | | [\\]\\-\\\\a-]");
  CHECK(text.HasAll({"\"\\\n\t[]Aé", "", "]", "\\", "a", "-"}));
  CHECK(text.HasNone({"A", "b"}));
}

TEST(Gbnf, WhatBeginsWithItselfIsRewritten) {
  Language sum(R"x(root ::= root [-+] term | term | root
term ::= term [*/] factor | factor
factor ::= [0-9]+ | "(" root ")")x");
  CHECK(sum.HasAll({"1", "1+2*3-4", "(1+2)*3/(4)"}));
  CHECK(sum.HasNone({"", "+1", "1+", "(1"}));
  CHECK_ERROR(Code::kInvalid, "'a'", Refusal("root ::= a\na ::= b \"x\" | \"y\"\nb ::= a \"z\""));
  CHECK_ERROR(Code::kInvalid, "'a'", Refusal("root ::= a\na ::= \"x\"? a \"y\" | \"z\""));
  CHECK_ERROR(Code::kInvalid, "line 2, column 1: every alternative of rule 'a' begins with",
              Refusal("root ::= a\na ::= a \"x\""));
}

TEST(Gbnf, UnusedRulesDoNoHarm) {
  CHECK(Language("other ::= \"x\" other2\nother2 ::= \"y\"\nroot ::= \"a\"").Has("a"));
}

TEST(Gbnf, NamesLineAndColumnOfWhatIsWrong) {
  const struct {
    const char *grammar, *message;
  } cases[] = {
      {"", "no rule 'root'"},
      {"a ::= \"x\"", "no rule 'root'"},
      {"root ::= \"é\" nix\n", "line 1, column 14: rule 'nix' is defined nowhere"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: rule 'root' is defined at line 1"},
      {"root ::= \"a", "line 1, column 10: this literal does not end"},
      {"root ::= [a", "line 1, column 10: this class does not end"},
      {"root ::= [a-", "line 1, column 10: this class does not end"},
      {"root ::= []", "line 1, column 10: a class without characters"},
      {"root ::= [z-a]", "line 1, column 11: the range z-a"},
      {"root ::= (\"a\"\nb ::= \"c\"",
       "line 2, column 3: `)` belongs here, for the group that "
       "begins at line 1, column 10"},
      {"root ::= \"a\")", "line 1, column 13: the end of the rule"},
      {"root ::= \"a\"\n\"b\"", "line 2, column 1: a rule begins with its name"},
      {"root ::= \"a\"\n  b\n", "line 2, column 4: `::=` belongs after the name 'b'"},
      {"root = \"a\"", "line 1, column 6: `::=` belongs"},
      {"root ::= * \"a\"", "line 1, column 10: there is nothing to repeat"},
      {"root ::= \"a\"{,3}", "line 1, column 13: a repetition is {m}"},
      {"root ::= \"a\"{3,2}", "line 1, column 13: from 3 to 2"},
      {"root ::= \"\\q\"", "line 1, column 11: \\q means nothing"},
      {"root ::= \"\\x4g\"", "line 1, column 11: 2 hexadecimal digits"},
      {"root ::= \"\\uD800\"", "line 1, column 11: U+D800 is no character"},
      {"root ::= \"\\U00110000\"", "line 1, column 11: U+110000 is no character"},
      {"root ::= \"\xff\"", "line 1, column 11: this is not UTF-8"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kInvalid, c.message, Refusal(c.grammar));
  for (const char* token : {"<think>", "<[12]>", "!<[12]>"}) {
    CHECK_ERROR(Code::kUnsupported, "line 2, column 3: tokens by number or name",
                Refusal("root ::= (\n  " + std::string(token) + ")"));
  }
}

TEST(Gbnf, HostileGrammarsEndQuickly) {
  std::string chain = "root ::= r0\n", wide = "root ::= r0", mutual = "root ::= r0\n";
  for (int i = 0; i < 12'000; ++i) {
    chain += fmt::format("r{} ::= r{}\n", i, i + 1);
    mutual += fmt::format("r{} ::= \"a\" r{} | r{} \"b\" | \"c\"\n", i, (i * 7 + 1) % 12'000,
                          (i + 1) % 12'000);
  }
  chain += "r12000 ::= \"a\"";
  for (int i = 1; i < 12'000; ++i) wide += fmt::format(" | r{}", i);
  for (int i = 0; i < 12'000; ++i) wide += fmt::format("\nr{} ::= \"{}\" r{}?", i, i % 100, i / 2);
  CHECK_ERROR(Code::kInvalid, "chain of more than", Refusal(chain));
  CHECK_ERROR(Code::kInvalid, "left recursion", Refusal(mutual));
  CHECK_ERROR(Code::kInvalid, "line 1, column 210: more than 200 groups in groups",
              Refusal("root ::= " + Times(60'000, "(")));
  CHECK_ERROR(Code::kInvalid, "too long", Refusal("root ::= " + Times(300'000, "\"a\" ")));
  const std::string hostile[] = {
      chain,
      wide,
      mutual,
      "root ::= " + Times(120'000, "\"a\" "),
      "root ::= " + Times(120'000, "[ab]"),
      "root ::= " + Times(80'000, "\"a\" | "),
      "root ::= " + Times(60'000, "(\"a\")"),
      "root ::= root | " + Times(40'000, "root \"a\" | ") + "\"b\"",
      "root ::= " + Times(100'000, "root "),
      "root ::= \"a\"" + Times(450'000, "*"),
      "root ::= \"a\"" + Times(50'000, "{100000}"),
      "root ::= " + Times(200, "(") + Times(200, "\"a\"*)*"),
      "root ::= " + Times(200'000, "x"),
      Times(500'000, "\n"),
      Times(250'000, "#\n"),
  };
  for (const std::string& grammar : hostile) {
    const double seconds = SecondsOf(grammar);
    if (seconds > 1) FAIL(fmt::format("{} s: {}", seconds, grammar.substr(0, 40)).c_str());
  }
}

TEST(Gbnf, NoMutatedGrammarCrashes) {
  const std::string seed = R"(root ::= (x | y)+ "é"{2,3} # c
x ::= x [a-z\x41-\u005a^] | "\"\\" y?
y ::= "b" ( root | [^\]] ){0,4} | . |
)";
  const std::string_view alphabet = "()[]{}|*+?^.\\-,:=\"#<! \nrootxy09aA\xc3\xa9\xff";
  std::mt19937 random(5);
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
    const auto root = CompileGbnf(terms, grammar);
    if (!root.ok()) {
      CHECK(!root.status().message().empty());
      continue;
    }
    if (!terms.Seal().ok()) continue;
    ++n_compiled;
    (void)terms.Derive(*root, "bbabzéé");
  }
  CHECK(n_compiled > 300);
}
