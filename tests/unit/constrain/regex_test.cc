#include "constrain/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <CppUTest/TestHarness.h>
#include <pcre2.h>

#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "constrain/chars.h"
#include "constrain/json_text.h"
#include "test_util.h"
#include "text/utf8.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

// Does the whole text match (or, with `search`, some part of it)?
bool Matches(const std::string& pattern, const std::string& text, RegexOptions options = {}) {
  Terms terms;
  const auto term = CompileRegex(terms, pattern, WriteRaw, options);
  if (!term.ok()) FAIL((pattern + ": " + term.status().message()).c_str());
  CHECK_OK(terms.Seal());
  const Term rest = terms.Derive(*term, text);
  CHECK_OK(terms.status());
  return terms.Nullable(rest);
}
bool Finds(const std::string& pattern, const std::string& text) {
  return Matches(pattern, text, {.search = true});
}

Status Refusal(const std::string& pattern) {
  Terms terms;
  return CompileRegex(terms, pattern, WriteRaw, {.search = true}).status();
}

struct CodeDeleter {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct MatchDeleter {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

class Oracle {
 public:
  explicit Oracle(const std::string& pattern, uint32_t flags = 0) {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | flags, &error, &offset, nullptr));
    if (!code_) FAIL(("the oracle refuses " + pattern).c_str());
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  }
  bool Matches(const std::string& text, bool search) const {
    const int rc =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                    search ? 0 : PCRE2_ANCHORED | PCRE2_ENDANCHORED, match_.get(), nullptr);
    CHECK(rc >= 0 || rc == PCRE2_ERROR_NOMATCH);
    return rc >= 0;
  }

 private:
  std::unique_ptr<pcre2_code, CodeDeleter> code_;
  std::unique_ptr<pcre2_match_data, MatchDeleter> match_;
};

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t Below(size_t n) { return engine_() % n; }
  const std::string& Of(const std::vector<std::string>& choices) {
    return choices[Below(choices.size())];
  }

 private:
  std::mt19937 engine_;
};

std::string RandomAtom(Random& random, int depth, bool anchors);

std::string RandomPattern(Random& random, int depth, bool anchors) {
  static const std::vector<std::string> quantifiers = {
      "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{2,3}", "{0}", "{1,3}?"};
  std::string out;
  for (size_t alternatives = 1 + random.Below(3); alternatives-- > 0;) {
    for (size_t parts = random.Below(4); parts-- > 0;) {
      if (anchors && random.Below(6) == 0) {
        out += random.Below(2) ? "^" : "$";
        continue;
      }
      const std::string atom = RandomAtom(random, depth, anchors);
      out += atom;
      // PCRE2 cuts loops over what can be empty short, so anchors in them are a test of their own.
      const bool anchored =
          atom.find('$') != atom.npos || (atom[0] == '(' && atom.find('^') != atom.npos);
      if (random.Below(3) == 0) out += anchored ? "?" : random.Of(quantifiers);
    }
    if (alternatives > 0) out += "|";
  }
  return out;
}

std::string RandomAtom(Random& random, int depth, bool anchors) {
  static const std::vector<std::string> atoms = {
      "a",     "b",     "c",   "0",    "é",      "\\n",    ".",      "\\d",       "\\w",
      "\\s",   "\\S",   "\\W", "\\D",  "[ab]",   "[^a]",   "[a-c0]", "[^\\d\\n]", "[\\wé]",
      "\\xe9", "\\x61", "\\.", "[b-]", "\\p{L}", "\\P{L}", "\\p{N}"};
  if (depth > 0 && random.Below(3) == 0) {
    static const std::vector<std::string> opens = {"(", "(?:", "(?<n>"};
    const std::string open = random.Below(12) == 0 ? "(?i:" : opens[random.Below(2)];
    return open + RandomPattern(random, depth - 1, anchors) + ")";
  }
  return random.Of(atoms);
}

std::string RandomText(Random& random) {
  static const std::vector<std::string> characters = {"a", "a", "b", "c", "0", "é", "\n", "A", "."};
  std::string out;
  for (size_t n = random.Below(7); n-- > 0;) out += random.Of(characters);
  return out;
}

// As many patterns, against twelve texts each.
void CompareWithOracle(uint32_t seed, int n_patterns, bool anchors) {
  Random random(seed);
  int n_matches = 0;
  for (int i = 0; i < n_patterns; ++i) {
    const std::string pattern = RandomPattern(random, 2, anchors);
    const bool search = random.Below(2) == 0;
    const Oracle oracle(pattern);
    Terms terms;
    const auto term = CompileRegex(terms, pattern, WriteRaw, {.search = search});
    if (!term.ok()) FAIL((pattern + ": " + term.status().message()).c_str());
    const auto json = CompileRegex(terms, pattern, JsonChars, {.search = search});
    CHECK_OK(json.status());
    CHECK_OK(terms.Seal());
    for (int j = 0; j < 12; ++j) {
      const std::string text = RandomText(random);
      const bool expected = oracle.Matches(text, search);
      const bool got = terms.Nullable(terms.Derive(*term, text));
      CHECK(got == terms.Nullable(terms.Derive(*json, JsonContent(text))));
      n_matches += expected;
      if (got != expected) {
        FAIL(fmt::format("/{}/ {} \"{}\": the oracle says {}", pattern,
                         search ? "searched in" : "on the whole of", text, expected)
                 .c_str());
      }
    }
    CHECK_OK(terms.status());
  }
  CHECK(n_matches > n_patterns);  // the comparison is of both answers
}

// Of this thread: others may have the processor meanwhile.
double SecondsOf(const std::string& pattern) {
  const std::clock_t start = std::clock();
  (void)Refusal(pattern);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

std::string Times(size_t n, const std::string& text) {
  std::string out;
  for (size_t i = 0; i < n; ++i) out += text;
  return out;
}

}  // namespace

TEST_GROUP(Regex){};

TEST(Regex, AgreesWithPcre2OnRandomPatterns) { CompareWithOracle(1, 2000, false); }

TEST(Regex, AgreesWithPcre2WhereAnchorsStandAnywhere) { CompareWithOracle(2, 2000, true); }

TEST(Regex, EscapesAreThoseOfEcma) {
  CHECK(Matches(R"(\t\n\v\f\r\0)", std::string("\t\n\v\f\r\0", 6)));
  CHECK(Matches(R"(\x41\u0042\u{43}\cJ)", "ABC\n"));
  CHECK(Matches(R"(\u{1F600}\uD83D\uDE00)", "😀😀"));
  CHECK(Matches(R"([\uD83D\uDE00-\uD83D\uDE4F])", "😎"));
  CHECK(Matches(R"(\/\.\-\$\é)", "/.-$é"));
  CHECK(Matches(R"([\b\-\]])", "\b"));
  CHECK(Matches(R"({a},}])", "{a},}]"));
}

TEST(Regex, ClassesOfEcmaAreAsciiButForSpace) {
  CHECK(Matches(R"(\d\w)", "5_"));
  CHECK_FALSE(Matches(R"(\d)", "٣"));
  CHECK_FALSE(Matches(R"(\w)", "é"));
  CHECK(Matches(R"(\W)", "é"));
  for (const char* space : {" ", "\u00a0", "\ufeff", "\u2028", "\u3000", "\v"}) {
    CHECK(Matches(R"(\s)", space));
    CHECK_FALSE(Matches(R"(\S)", space));
    CHECK_FALSE(Matches(R"([^\s])", space));
  }
  CHECK_FALSE(Matches(R"(\s)", "\u180e"));
  CHECK(Matches(R"([\w-.]+)", "a-."));
  CHECK_FALSE(Matches("[]", ""));
  CHECK_FALSE(Matches("[]", "]"));
  CHECK(Matches("[^]", "\n"));
}

TEST(Regex, DotIsNoLineEndUnlessToldSo) {
  for (const char* end : {"\n", "\r", "\u2028", "\u2029"}) {
    CHECK_FALSE(Matches(".", end));
    CHECK(Matches(".", end, {.dot_all = true}));
    CHECK(Matches("(?s).", end));
    CHECK(Matches("(?s:.)", end));
    CHECK_FALSE(Matches("(?s:a|.)|.", "b" + std::string(end)));
  }
  CHECK(Matches(".", "\u0085"));
}

TEST(Regex, FlagsHoldToTheEndOfTheirGroup) {
  CHECK(Matches("(?i)straße", "STRAßE"));
  CHECK(Matches("((?i)a)b", "Ab"));
  CHECK_FALSE(Matches("((?i)a)b", "AB"));
  CHECK_FALSE(Matches("(?i:a(?-i:b))", "AB"));
  CHECK(Matches("(?i:a(?-i:b))", "Ab"));
  CHECK(Matches("(?i)[^k]", "x"));
  CHECK_FALSE(Matches("(?i)[^k]", "\u212a"));  // the Kelvin sign
  CHECK(Matches("a(?i)b|c", "C"));
}

TEST(Regex, AnchorsThatCannotBeMetLeaveNoString) {
  Terms terms;
  for (const char* never : {"a^", "$a", "x^|$y", "(a|b)^c"}) {
    const auto term = CompileRegex(terms, never, WriteRaw);
    CHECK_OK(term.status());
    LONGS_EQUAL(kNever, *term);
  }
  CHECK(Finds("^a|b$", "ac"));
  CHECK(Finds("^a|b$", "cb"));
  CHECK_FALSE(Finds("^a|b$", "cac"));
  CHECK(Finds("(^|,)x(,|$)", "a,x"));
  CHECK_FALSE(Finds("(^|,)x(,|$)", "ax"));
  CHECK(Finds("^$", ""));
  CHECK_FALSE(Finds("^$", "\n"));
}

TEST(Regex, WhatMatchesNothingIsFoundEverywhere) {
  Terms terms;
  const auto any = CompileRegex(terms, "[^]*", WriteRaw);
  CHECK_OK(any.status());
  for (const char* pattern : {"", "a*", "^|a", "(b$|$)", "^(a|)|c"}) {
    const auto found = CompileRegex(terms, pattern, WriteRaw, {.search = true});
    CHECK_OK(found.status());
    LONGS_EQUAL(*any, *found);
  }
  CHECK_FALSE(Finds("^$", "a"));
}

// The oracle ends loops whose round was empty, so these are worked out by hand.
TEST(Regex, RepeatedGroupsMayHoldAnchors) {
  CHECK(Matches("(^a|b)+", "abb"));
  CHECK_FALSE(Matches("(^a|b)+", "aab"));
  CHECK(Matches("(a|b$)*", "aaab"));
  CHECK_FALSE(Matches("(a|b$)*", "aba"));
  CHECK(Matches("(^a|b){2,3}", "abb"));
  CHECK_FALSE(Matches("(^a|b){2,3}", "abbb"));
  CHECK_FALSE(Matches("(^a|b){2,3}", "a"));
  CHECK(Matches("(^a|b|){3}", "ab"));
  CHECK(Matches("(^a|b){0}", ""));
  CHECK_ERROR(Code::kUnsupported, "offset 8: a group that may be nothing but",
              Refusal("a(b|^|$){2}"));
}

TEST(Regex, CountsAreNotUnrolled) {
  Terms terms;
  const auto term = CompileRegex(terms, "(?:[a-z]{1,100000}-){100000}", WriteRaw);
  CHECK_OK(term.status());
  CHECK(terms.size() < 50);
  CHECK(Matches("a{3,5}", "aaaa"));
  CHECK_FALSE(Matches("a{3,5}", "aaaaaa"));
  CHECK_FALSE(Matches("a{3}", "aa"));
  CHECK(Matches("a{3,}", "aaaaa"));
  CHECK_ERROR(Code::kUnsupported, "offset 1: a repetition counts to 100000 at most",
              Refusal("a{100001}"));
  CHECK_ERROR(Code::kUnsupported, "at most", Refusal("a{99999999999999999999}"));
}

TEST(Regex, RefusesByOffsetWhatIsNoRegularLanguageOrAmbiguous) {
  const struct {
    const char *pattern, *message;
  } cases[] = {
      {"a(?=b)", "offset 1: look-around"},
      {"a(?!b)", "offset 1: look-around"},
      {"(?<=b)", "offset 0: look-around"},
      {"(a)\\1", "offset 3: a back reference"},
      {"(?<n>a)\\k<n>", "offset 7: a back reference"},
      {"a\\bc", "offset 1: \\b"},
      {"\\B", "offset 0: \\B"},
      {"a{,3}", "offset 1: some read `{,3}`"},
      {"\\Aa", "offset 0: \\A"},
      {"a\\Z", "offset 1: \\Z"},
      {"[[:alpha:]]", "offset 1: [:alpha:]"},
      {"(?>a)", "offset 0: groups are"},
      {"(?m)a", "offset 0: groups are"},
      {"a++", "offset 2: a possessive"},
      {"\\01", "offset 0: octal"},
      {"\\p{Nonsense}", "offset 0: \"Nonsense\" is no known property"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kUnsupported, c.message, Refusal(c.pattern));
}

TEST(Regex, NamesTheOffsetOfWhatIsWrong) {
  const struct {
    const char *pattern, *message;
  } cases[] = {
      {"a**", "offset 2: there is nothing to repeat"},
      {"*a", "offset 0: there is nothing to repeat"},
      {"a|{2}", "offset 2: there is nothing to repeat"},
      {"(a", "offset 0: this group is not closed"},
      {"a)b", "offset 1: this `)`"},
      {"[a", "offset 0: this class is not closed"},
      {"[z-a]", "offset 1: the range z-a"},
      {"a{3,2}", "offset 1: the repetition {3,2}"},
      {"\\x4", "offset 0: two hexadecimal digits"},
      {"\\u12", "offset 0: four hexadecimal digits"},
      {"\\u{110000}", "offset 0: a character by its number"},
      {"\\q", "offset 0: \\q means nothing"},
      {"\\", "offset 0: a backslash at the end"},
      {"é\xff", "offset 2: this is not UTF-8"},
      {"^*", "offset 1: an anchor cannot be repeated"},
      {"\\pL", "offset 0: a property is written"},
      {"(?<>a)", "offset 0: a group with a name"},
      {"\\c1", "offset 0: a letter"},
  };
  for (const auto& c : cases) CHECK_ERROR(Code::kInvalid, c.message, Refusal(c.pattern));
}

TEST(Regex, HostilePatternsEndQuickly) {
  const std::string many = Times(60'000, "(");
  CHECK_ERROR(Code::kInvalid, "offset 200: more than 200 groups in groups", Refusal(many));
  CHECK_ERROR(Code::kInvalid, "too long", Refusal(Times(60'000, "(a)")));
  std::string letters, scripts;
  for (int i = 0; i < 4000; ++i) letters += fmt::format("[\\p{{L}}\\u{{{:x}}}]", 0x1F000 + i);
  CHECK_ERROR(Code::kUnsupported, "more than 100000 ranges together", Refusal(letters));
  std::string negations = "(?i)";
  for (int i = 0; i < 5'000; ++i) negations += fmt::format("[^\\u{{{:x}}}]", 0x100 + i);
  for (const char* name : {"Adlm", "Arab", "Armn", "Bali", "Beng", "Bopo", "Cher", "Copt", "Cyrl",
                           "Deva", "Ethi", "Geor", "Goth", "Grek", "Gujr", "Guru", "Hang"}) {
    scripts += fmt::format("\\p{{sc={}}}", name);
  }
  CHECK_ERROR(Code::kUnsupported, "more than 16 different properties", Refusal(scripts));
  CHECK_ERROR(Code::kUnsupported, "too many anchors", Refusal(Times(5'000, "(^|a)b?($|)")));
  CHECK_OK(Refusal(Times(5'000, "^ab$|")));
  const std::string hostile[] = {
      "(a+)+$",
      Times(30'000, "()"),
      Times(15'000, "(a)"),
      Times(30'000, "a|"),
      Times(60'000, "a"),
      Times(20'000, "[ab"),
      Times(16'000, "[ab]"),
      Times(20'000, "[:"),
      "[" + Times(30'000, "[:") + "]",
      Times(30'000, "{1"),
      Times(10'000, "\\p{L}"),
      letters,
      scripts,
      Times(1000, "[\\w\\W\\d\\D\\p{L}\\P{L}]"),
      Times(200, "(") + Times(200, "a*)*"),
      Times(190, "(a|") + "b" + Times(190, ")"),
      Times(5'000, "(^|a)b?($|)"),
      Times(4'000, "a{100000}"),
      Times(200, "(") + "a" + Times(200, "{100000})") + "{100000}",
      "(?i)" + Times(60'000, "."),
      "(?i)" + Times(8'000, "[\\p{L}]"),
      negations,
      Times(7'000, "(x+x+)+y|"),
  };
  for (const std::string& pattern : hostile) {
    const double seconds = SecondsOf(pattern);
    if (seconds > 1) FAIL(fmt::format("{} s: {}", seconds, pattern.substr(0, 40)).c_str());
  }
}

TEST(Regex, NoMutatedPatternCrashesOrHangs) {
  Random random(3);
  const std::vector<std::string> seeds = {
      R"(^(?:[A-Z]{2}\d{2}[ ]?){1,7}\w{1,4}$)", R"([^@\s]+@[a-z0-9.-]+\.\p{L}{2,})",
      R"(^\u{1F600}|\uD83D\uDE00(?i:abc|[^x-z]*?))", R"((?<year>\d{4})-(?P<m>0[1-9]|1[0-2]))",
      R"((a+)+$|((((b))))|\P{Script=Greek}{3,5})"};
  const std::string_view alphabet = "()[]{}|*+?^$.\\-,:<>=!ipPuxwdDsSb019azA\xc3\xa9\xff\n";
  int n_compiled = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string pattern = random.Of(seeds);
    for (size_t n = 1 + random.Below(6); n-- > 0;) {
      const size_t at = random.Below(pattern.size() + 1);
      const char c = alphabet[random.Below(alphabet.size())];
      switch (random.Below(4)) {
        case 0:
          pattern.insert(at, 1, c);
          break;
        case 1:
          pattern.erase(at, 1 + random.Below(3));
          break;
        case 2:
          pattern.insert(at, pattern.substr(random.Below(pattern.size() + 1), random.Below(9)));
          break;
        default:
          if (at < pattern.size()) pattern[at] = c;
      }
    }
    Terms terms;
    const std::clock_t start = std::clock();
    const auto term = CompileRegex(terms, pattern, WriteRaw, {.search = random.Below(2) == 0});
    CHECK(std::clock() - start < CLOCKS_PER_SEC);
    if (!term.ok()) {
      CHECK(!term.status().message().empty());
      continue;
    }
    ++n_compiled;
    CHECK_OK(terms.Seal());
    const Term rest = terms.Derive(*term, "AB12 Greek@example.org 2024-05");
    (void)terms.Nullable(rest);
  }
  CHECK(n_compiled > 300);
}

TEST_GROUP(Chars){};

TEST(Chars, ComplementAndUnionAreThoseOfSets) {
  const CharSet set({{'c', 'd'}, {'a', 'b'}, {'x', 'z'}, {'y', 'y'}});
  LONGS_EQUAL(2, set.ranges().size());
  const CharSet rest = set.Complement();
  LONGS_EQUAL(3, rest.ranges().size());
  LONGS_EQUAL('e', rest.ranges()[1].first);
  LONGS_EQUAL('w', rest.ranges()[1].last);
  LONGS_EQUAL(2, rest.Complement().ranges().size());
  CHECK(CharSet::All().Complement().empty());
  CHECK(CharSet({{0xD800, 0xDFFF}}).empty());
}

TEST(Chars, PropertiesAreThoseOfTheOracleCharacterByCharacter) {
  for (const char* name : {"L", "Lu", "Nd", "P", "Cn", "Co", "Greek", "Script=Cyrillic", "Emoji",
                           "Alphabetic", "gc=Zs", "Uppercase_Letter"}) {
    const auto set = PropertyChars(name);
    CHECK_OK(set.status());
    std::string library = name;
    if (library == "Script=Cyrillic") library = "sc:Cyrillic";
    if (library == "gc=Zs") library = "Zs";
    if (library == "Uppercase_Letter") library = "Lu";
    const Oracle oracle("\\p{" + library + "}");
    auto range = set->ranges().begin();
    for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
      if (c == 0xD800) c = 0xE000;
      if (c == 0x40000) c = 0xDFFF0;  // nothing is there
      std::string text;
      text::AppendUtf8(c, text);
      while (range != set->ranges().end() && range->last < c) ++range;
      const bool has = range != set->ranges().end() && range->first <= c;
      if (has != oracle.Matches(text, false)) FAIL(fmt::format("{}: U+{:X}", name, +c).c_str());
    }
  }
}

TEST(Chars, OtherCasesAreThoseOfTheOracle) {
  for (char32_t c :
       U"aAkKsSſßẞµμΜσςΣΩΩåÅÅǅǆiIİıθϴᾀᾈιͅйЙꭰᎠ0é\u1E9E𐐀") {
    if (c == 0) continue;
    const CharSet set = CharSet({{c, c}}).WithOtherCases();
    std::string self;
    text::AppendUtf8(c, self);
    const Oracle oracle("[" + self + "]", PCRE2_CASELESS);
    for (char32_t other = 0; other < 0x11000; ++other) {
      if (other == 0xD800) other = 0xE000;
      std::string text;
      text::AppendUtf8(other, text);
      bool has = false;
      for (const CharRange& r : set.ranges()) has |= r.first <= other && other <= r.last;
      if (has != oracle.Matches(text, false)) {
        FAIL(fmt::format("U+{:X} and U+{:X}: the oracle says {}", +c, +other, !has).c_str());
      }
    }
  }
}
