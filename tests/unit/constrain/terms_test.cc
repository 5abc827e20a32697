#include "constrain/terms.h"

#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "test_util.h"

using namespace minnow::constrain;

namespace {

bool Has(Terms& terms, Term t, std::string_view text) {
  return terms.Nullable(terms.Derive(t, text));
}

// A language as the set of all its strings of at most kLongest letters: the meaning of each
// operation, written down once more.
constexpr size_t kLongest = 4;
using Strings = std::set<std::string>;

Strings AllStrings() {
  Strings all = {""}, last = {""};
  for (size_t n = 0; n < kLongest; ++n) {
    Strings next;
    for (const std::string& s : last) {
      for (char c : {'a', 'b', 'c'}) next.insert(s + c);
    }
    all.insert(next.begin(), next.end());
    last = std::move(next);
  }
  return all;
}

Strings Joined(const Strings& a, const Strings& b) {
  Strings out;
  for (const auto& x : a) {
    for (const auto& y : b) {
      if (x.size() + y.size() <= kLongest) out.insert(x + y);
    }
  }
  return out;
}

struct Pair {
  Term term;
  Strings strings;
};

// A random expression and what it means.
Pair Random(Terms& terms, std::mt19937& random, int depth) {
  const auto leaf = [&]() -> Pair {
    switch (random() % 4) {
      case 0:
        return {kEmpty, {""}};
      case 1: {
        ByteSet set;
        Strings strings;
        for (char c : {'a', 'b', 'c'}) {
          if (random() % 2) {
            set.Add(static_cast<uint8_t>(c));
            strings.insert(std::string(1, c));
          }
        }
        return {terms.Bytes(set), strings};
      }
      default: {
        std::string s;
        for (size_t n = random() % 3 + 1; n > 0; --n) s += static_cast<char>('a' + random() % 3);
        return {terms.Literal(s), {s}};
      }
    }
  };
  if (depth == 0) return leaf();
  Pair a = Random(terms, random, depth - 1);
  switch (random() % 7) {
    case 0:
      return leaf();
    case 1: {
      Pair b = Random(terms, random, depth - 1);
      return {terms.Concat(a.term, b.term), Joined(a.strings, b.strings)};
    }
    case 2:
    case 3: {
      Pair b = Random(terms, random, depth - 1);
      b.strings.insert(a.strings.begin(), a.strings.end());
      return {terms.Or(a.term, b.term), b.strings};
    }
    case 4: {
      const uint32_t min = random() % 3;
      const uint32_t max = random() % 3 == 0 ? kUnbounded : min + random() % 3;
      Strings out, power = {""};
      for (uint32_t n = 0; n <= kLongest + 3; ++n) {
        if (n >= min && n <= max) out.insert(power.begin(), power.end());
        power = Joined(power, a.strings);
      }
      return {terms.Repeat(a.term, min, max), out};
    }
    case 5: {
      Pair b = Random(terms, random, depth - 1);
      Strings both;
      for (const auto& s : a.strings) {
        if (b.strings.contains(s)) both.insert(s);
      }
      // Only what is short is compared, so a longer string may keep the term alive.
      return {terms.And(a.term, b.term), both};
    }
    default: {
      Pair b = Random(terms, random, depth - 1);
      Strings rest = b.strings;
      for (const auto& s : a.strings) rest.erase(s);
      return {terms.And(b.term, terms.Not(a.term)), rest};
    }
  }
}

}  // namespace

TEST_GROUP(Terms){};

TEST(Terms, MeanTheSetsOfStringsThatTheirOperationsSay) {
  const Strings all = AllStrings();
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    Terms terms;
    const Pair pair = Random(terms, random, 4);
    CHECK_TRUE(terms.Seal().ok());
    for (const std::string& s : all) {
      if (Has(terms, pair.term, s) != pair.strings.contains(s))
        FAIL(fmt::format("{} {} {}", i, s, terms.Print(pair.term)).c_str());
    }
  }
}

// From every state that is reached some string leads to the end, no longer than its cost, and each
// step on the shortest way makes the cost smaller.
TEST(Terms, AreNeverDeadEnds) {
  std::mt19937 random(11);
  for (int i = 0; i < 1000; ++i) {
    Terms terms;
    Term t = Random(terms, random, 4).term;
    CHECK_TRUE(terms.Seal().ok());
    for (int step = 0; step < 6 && t != kNever; ++step) {
      uint32_t cost = terms.Cost(t);
      Term u = t;
      while (!terms.Nullable(u)) {
        Term next = kNever;
        for (char c : {'a', 'b', 'c'}) {
          const Term d = terms.Derive(u, static_cast<uint8_t>(c));
          if (d != kNever && terms.Cost(d) < cost) next = d;
        }
        if (next == kNever) FAIL(fmt::format("{}: {} cost {}", i, terms.Print(u), cost).c_str());
        u = next;
        cost = terms.Cost(u);
      }
      const ByteSet first = terms.First(t);
      for (unsigned b = 0; b < 256; ++b) {
        const auto byte = static_cast<uint8_t>(b);
        CHECK_EQUAL(first.Has(byte), terms.Derive(t, byte) != kNever);
      }
      const char letter = static_cast<char>('a' + random() % 3);
      t = terms.Derive(t, static_cast<uint8_t>(letter));
    }
  }
}

TEST(Terms, OfOneMeaningAndFormAreOne) {
  Terms terms;
  const Term ab = terms.Concat(terms.Literal("a"), terms.Literal("b"));
  CHECK_EQUAL(terms.Literal("ab"), ab);
  CHECK_EQUAL(terms.Or(terms.Literal("x"), ab), terms.Or(ab, terms.Literal("x")));
  CHECK_EQUAL(kNever, terms.Concat(ab, kNever));
  CHECK_EQUAL(kNever, terms.And(terms.Literal("a"), terms.Literal("b")));
  const Term left = terms.Concat(terms.Concat(ab, terms.Repeat(ab, 0, 3)), ab);
  CHECK_EQUAL(left, terms.Concat(ab, terms.Concat(terms.Repeat(ab, 0, 3), ab)));
}

TEST(Terms, WriteCharactersAsUtf8) {
  // One range at each border of the lengths, and one over all of them.
  for (const auto& [first, last] : std::vector<std::pair<char32_t, char32_t>>{{0x7E, 0x81},
                                                                              {0x7FE, 0x801},
                                                                              {0xFFFE, 0x10001},
                                                                              {0x3B1, 0x3C9},
                                                                              {0x20, 0x10FFFF},
                                                                              {0xD700, 0xE0FF}}) {
    Terms terms;
    const CharRange range = {first, last};
    const Term t = terms.Chars(std::span(&range, 1));
    CHECK_TRUE(terms.Seal().ok());
    std::mt19937 random(3);
    for (int i = 0; i < 4000; ++i) {
      const char32_t c = i % 2 ? random() % 0x110000 : first - 20 + random() % 60;
      if (c > 0x10FFFF) continue;
      std::string bytes;
      if (c < 0x80) {
        bytes = {static_cast<char>(c)};
      } else if (c < 0x800) {
        bytes = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 63))};
      } else if (c < 0x10000) {
        bytes = {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 63)),
                 static_cast<char>(0x80 | (c & 63))};
      } else {
        bytes = {static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 63)),
                 static_cast<char>(0x80 | (c >> 6 & 63)), static_cast<char>(0x80 | (c & 63))};
      }
      const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
      CHECK_EQUAL(c >= first && c <= last && !surrogate, Has(terms, t, bytes));
    }
  }
}

TEST(Terms, CountRepetitionsWithoutWritingThemOut) {
  Terms terms;
  const Term t = terms.Repeat(terms.Literal("ab"), 1000, 100'000);
  CHECK_TRUE(terms.Seal().ok());
  CHECK_TRUE(terms.size() < 10);
  std::string text;
  for (int i = 0; i < 999; ++i) text += "ab";
  CHECK_FALSE(Has(terms, t, text));
  CHECK_TRUE(Has(terms, t, text + "ab"));
  CHECK_EQUAL(2000u, terms.Cost(t));
}

TEST(Terms, OfRulesMayBeRecursive) {
  Terms terms;
  const RuleId value = terms.Declare("value");
  const Term v = terms.Rule(value);
  const Term items =
      terms.Concat(v, terms.Repeat(terms.Concat(terms.Literal(","), v), 0, kUnbounded));
  const std::vector<Term> list = {terms.Literal("["), terms.Optional(items), terms.Literal("]")};
  terms.Define(value, terms.Or(terms.Literal("1"), terms.Concat(list)));
  CHECK_TRUE(terms.Seal().ok());
  CHECK_TRUE(Has(terms, v, "[1,[1,1],[[]]]"));
  CHECK_FALSE(Has(terms, v, "[1,[1,1],[[]]"));
  CHECK_EQUAL(4u, terms.Cost(terms.Derive(v, "[1,[1,[[")));
  std::string deep(5000, '[');
  const Term open = terms.Derive(v, deep);
  CHECK_EQUAL(5000u, terms.Cost(open));
  CHECK_TRUE(Has(terms, open, std::string(5000, ']')));
}

TEST(Terms, KnowMultiples) {
  Terms terms;
  const Term digits = terms.Repeat(terms.Bytes(ByteSet::Range('0', '9')), 1, 6);
  const Term t = terms.And(digits, terms.Multiple(7));
  CHECK_TRUE(terms.Seal().ok());
  for (int i = 0; i < 2000; ++i) CHECK_EQUAL(i % 7 == 0, Has(terms, t, std::to_string(i)));
  CHECK_EQUAL(kNever, terms.And(terms.Literal("8"), terms.Multiple(7)));
}

TEST(Terms, LookAtLongListsOfStringsOnce) {
  Terms terms;
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("name" + std::to_string(i));
  const Term t = terms.Strings(names);
  CHECK_TRUE(terms.Seal().ok());
  CHECK_TRUE(Has(terms, t, "name4999"));
  CHECK_TRUE(Has(terms, t, "name49"));
  CHECK_FALSE(Has(terms, t, "name5000"));
  CHECK_FALSE(Has(terms, t, "name"));
}

TEST(Terms, RefuseLeftRecursionByName) {
  Terms terms;
  const RuleId a = terms.Declare("expr"), b = terms.Declare("other");
  terms.Define(a, terms.Or(terms.Literal("x"), terms.Concat(terms.Rule(b), terms.Literal("+"))));
  terms.Define(b, terms.Concat(terms.Optional(terms.Literal("-")), terms.Rule(a)));
  const minnow::Status status = terms.Seal();
  CHECK_FALSE(status.ok());
  STRCMP_CONTAINS("expr", status.message().c_str());
  STRCMP_CONTAINS("left recursion", status.message().c_str());
}

TEST(Terms, WithoutAnyStringAreNever) {
  Terms terms;
  const RuleId loop = terms.Declare("loop"), fine = terms.Declare("fine");
  terms.Define(loop, terms.Concat(terms.Literal("("), terms.Rule(loop)));
  terms.Define(fine,
               terms.Or(terms.Literal("a"), terms.Concat(terms.Literal("b"), terms.Rule(loop))));
  const Term l = terms.Rule(loop), f = terms.Rule(fine);
  CHECK_TRUE(terms.Seal().ok());
  CHECK_EQUAL(kUnbounded, terms.Cost(l));
  CHECK_EQUAL(kNever, terms.Derive(l, '('));
  CHECK_EQUAL(kNever, terms.Derive(f, 'b'));
  CHECK_TRUE(Has(terms, f, "a"));
}

TEST(Terms, RefuseAnUndefinedRule) {
  Terms terms;
  terms.Rule(terms.Declare("nowhere"));
  STRCMP_CONTAINS("nowhere", terms.Seal().message().c_str());
}

TEST(Terms, EndWithAnErrorWhereTheyAreTooMany) {
  Terms terms(nullptr, {.max_terms = 1000});
  Term t = kEmpty;
  for (int i = 0; i < 2000; ++i) t = terms.Or(t, terms.Literal("x" + std::to_string(i)));
  CHECK_FALSE(terms.status().ok());
  CHECK_EQUAL(kNever, terms.Literal("y"));
}

TEST(Terms, EndWithAnErrorWhereTheyAreTooDeep) {
  Terms terms;
  Term t = terms.Literal("x");
  for (int i = 0; i < 10'000; ++i) {
    t = terms.Repeat(terms.Concat(terms.Literal("("), terms.Or(t, terms.Literal("yy"))), 2, 3);
  }
  STRCMP_CONTAINS("nested", terms.status().message().c_str());
}

TEST(Terms, ForgetCounts) {
  Terms terms;
  const Term any = terms.Bytes(ByteSet::Range('a', 'z'));
  const auto string = [&](uint32_t min, uint32_t max) {
    return terms.Concat(terms.Repeat(any, min, max), terms.Literal("\""));
  };
  CHECK_EQUAL(terms.Open(string(0, 900)), terms.Open(string(0, 800)));
  CHECK_EQUAL(terms.Cost(string(400, 900)), terms.Cost(terms.Open(string(400, 900))));
  CHECK_EQUAL(900u, terms.LeastCount(string(400, 900)));
  CHECK_EQUAL(kUnbounded, terms.LeastCount(terms.Open(string(400, 900))));
  // Behind a byte that comes before it.
  CHECK_EQUAL(71u, terms.LeastCount(
                       terms.Or(string(0, 900), terms.Concat(terms.Literal("x"), string(1, 70)))));
  // Of lists it is told in bytes; a few letters are not worth it.
  CHECK_EQUAL(5u * 20, terms.LeastCount(terms.Repeat(terms.Literal(", abc"), 0, 20)));
  CHECK_EQUAL(string(1, 7), terms.Open(string(1, 7)));
  CHECK_EQUAL(kUnbounded, terms.LeastCount(string(1, 7)));
}

// What was met only while an intersection was looked at has no cost when the rules are solved, and
// was taken for a rule without an end.
TEST(Terms, SolvingRulesForgetsNothingThatWasExplored) {
  Terms terms;
  const Term digit = terms.Bytes(ByteSet::Range('0', '9'));
  const Term tail = terms.Concat(terms.Literal("."), digit);
  const Term whole = terms.And(terms.Repeat(digit, 1, 19), terms.Multiple(3));
  const Term half = terms.And(terms.Concat(terms.Repeat(digit, 1, 19), tail), terms.Multiple(15));
  const Term t = terms.And(terms.Concat(terms.Repeat(digit, 1, 5), terms.Optional(tail)),
                           terms.Or(whole, half));
  CHECK_OK(terms.Seal());
  CHECK_TRUE(Has(terms, t, "42"));
  CHECK_TRUE(Has(terms, t, "4.5"));
  CHECK_FALSE(Has(terms, t, "4"));
}
