#include "constrain/grammar.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <thread>

#include "constrain/grammar_cache.h"
#include "constrain/value_patterns.h"
#include "test_util.h"
#include "text/published_vocabularies.h"
#include "text/tokenizer_files.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

// All bytes, a few words, and words that reach across the borders of what grammars write.
std::unique_ptr<text::Tokenizer> SmallTokenizer() {
  text::Vocabulary v;
  v.kind = text::TokenizerKind::kByteLevel;
  const auto add = [&](std::string bytes, text::PieceType type = text::PieceType::kNormal) {
    v.pieces.push_back({.bytes = std::move(bytes), .type = type});
    return static_cast<text::TokenId>(v.pieces.size() - 1);
  };
  for (int b = 0; b < 256; ++b) add(std::string(1, static_cast<char>(b)));
  const auto merge = [&](const std::string& left, const std::string& right) {
    const auto id = [&](const std::string& s) {
      for (size_t i = 0; i < v.pieces.size(); ++i) {
        if (v.pieces[i].bytes == s) return static_cast<text::TokenId>(i);
      }
      return add(s);
    };
    const text::TokenId l = id(left), r = id(right);
    v.merges.push_back({l, r, id(left + right)});
  };
  merge("t", "r");
  merge("tr", "u");
  merge("tru", "e");
  merge("a", "l");
  merge("\"", ":");
  merge("\":", " ");
  merge("\"", "}");
  merge("\"", ",");
  merge(" ", "\"");
  merge(" \"", "$");
  merge("\xC3", "\xA9");
  merge("a", "b");
  merge("ab", "c");
  merge("1", "2");
  v.eos = add("<end>", text::PieceType::kControl);
  if (!text::CompleteVocabulary(v).ok()) return nullptr;
  auto tokenizer = text::Tokenizer::Create(std::move(v));
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// All bytes, and tokens of all that text is made of: words, spaces, digits, quotes, control
// characters, whole and broken characters of two to four bytes, and the ends of lines of Unicode.
std::unique_ptr<text::Tokenizer> TextTokenizer() {
  const std::vector<std::string> parts = {"a",
                                          "b",
                                          "foo",
                                          "bar",
                                          "o",
                                          "f",
                                          "x-y",
                                          "X_",
                                          "example",
                                          "org",
                                          "12",
                                          "7",
                                          ".",
                                          "-",
                                          "@",
                                          " ",
                                          "  ",
                                          "\"",
                                          "\\",
                                          "\\n",
                                          "\\u001",
                                          ": ",
                                          ", ",
                                          "{",
                                          "}",
                                          "]",
                                          "\n",
                                          "\t",
                                          "\x1F",
                                          "\x7F",
                                          std::string(1, '\0'),
                                          "\xC3\xA9",
                                          "\xC3",
                                          "\xE4\xBD\xA0",
                                          "\xE4\xBD",
                                          "\xBD",
                                          "\xE2\x80\xA8",
                                          "\xE2\x80\xA9",
                                          "\xE2\x80",
                                          "\xE2\x80\x9C",
                                          "\xF0\x9F\x92\xA9",
                                          "\xF0\x9F",
                                          "\xED\x9F\xBF",
                                          "\xEE\x80\x80",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
  text::Vocabulary v;
  v.kind = text::TokenizerKind::kByteLevel;
  std::set<std::string> seen;
  const auto add = [&](const std::string& bytes) {
    if (seen.insert(bytes).second) v.pieces.push_back({.bytes = bytes});
  };
  for (int b = 0; b < 256; ++b) add(std::string(1, static_cast<char>(b)));
  for (const std::string& part : parts) add(part);
  std::mt19937 random(3);
  for (int i = 0; i < 6000; ++i) {
    std::string bytes;
    for (size_t n = 2 + random() % 4; n > 0; --n) bytes += parts[random() % parts.size()];
    add(bytes);
  }
  v.pieces.push_back({.bytes = "<end>", .type = text::PieceType::kControl});
  v.eos = static_cast<text::TokenId>(v.pieces.size() - 1);
  if (!text::CompleteVocabulary(v).ok()) return nullptr;
  auto tokenizer = text::Tokenizer::Create(std::move(v));
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

Term AnyString(Terms& terms, uint32_t min = 0, uint32_t max = kUnbounded) {
  const std::vector<CharRange> plain = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}};
  ByteSet escapes;
  for (char c : {'"', '\\', 'n', 't'}) escapes.Add(static_cast<uint8_t>(c));
  const Term character =
      terms.Or(terms.Chars(plain), terms.Concat(terms.Literal("\\"), terms.Bytes(escapes)));
  const std::vector<Term> parts = {terms.Literal("\""), terms.Repeat(character, min, max),
                                   terms.Literal("\"")};
  return terms.Concat(parts);
}

// Objects, lists, strings and numbers in one another.
Result<Term> WriteTree(Terms& terms) {
  const RuleId value = terms.Declare("value");
  const Term v = terms.Rule(value);
  const Term digits = terms.Repeat(terms.Bytes(ByteSet::Range('0', '9')), 1, 5);
  const auto list = [&](const char* open, Term item, const char* close) {
    const std::vector<Term> parts = {
        terms.Literal(open),
        terms.Optional(
            terms.Concat(item, terms.Repeat(terms.Concat(terms.Literal(", "), item), 0, 4))),
        terms.Literal(close)};
    return terms.Concat(parts);
  };
  const std::vector<Term> pair = {AnyString(terms, 1, 12), terms.Literal(": "), v};
  const std::vector<Term> kinds = {terms.Literal("true"), digits, AnyString(terms, 0, 40),
                                   list("[", v, "]"), list("{", terms.Concat(pair), "}")};
  terms.Define(value, terms.Or(kinds));
  const std::vector<Term> root = {terms.Literal("{\"name\": "), AnyString(terms, 3),
                                  terms.Literal(", \"value\": "), v, terms.Literal("}")};
  return terms.Concat(root);
}

std::shared_ptr<Grammar> Make(const text::Tokenizer& tokenizer, Grammar::Writer write) {
  auto grammar = Grammar::Create(std::make_shared<TokenTrie>(tokenizer.vocabulary()), tokenizer,
                                 std::move(write));
  CHECK_OK(grammar.status());
  return *grammar;
}

std::unique_ptr<text::Tokenizer> Published(const std::string& name, const std::string& path) {
  if (name.starts_with("qwen")) return text::MakeTokenizer(text::QwenVocabulary(path));
  if (name.starts_with("llama3")) return text::MakeTokenizer(text::Llama3Vocabulary(path));
  auto loaded = text::LoadTokenizer(path);
  CHECK_OK(loaded.status());
  return *std::move(loaded);
}

bool Has(const MaskWords& mask, size_t token) { return mask[token / 32] >> token % 32 & 1; }

// Picks any token that may come, until the answer ends.
std::string Play(Matcher& matcher, const text::Tokenizer& tokenizer, uint32_t budget,
                 std::mt19937& random, uint32_t* used) {
  for (*used = 0; !matcher.finished();) {
    MaskWords mask;
    CHECK_OK(matcher.Allowed(budget - *used, &mask));
    std::vector<TokenId> ids;
    for (size_t i = 0; i < tokenizer.size(); ++i) {
      if (Has(mask, i)) ids.push_back(static_cast<TokenId>(i));
    }
    if (ids.empty()) {
      // Only where the budget is spent, and then all is there.
      CHECK_TRUE(matcher.complete());
      break;
    }
    const TokenId token = ids[random() % ids.size()];
    if (tokenizer.EndsTurn(token)) break;
    CHECK_TRUE(matcher.Allows(token, budget - *used));
    CHECK_OK(matcher.Accept(token));
    ++*used;
  }
  CHECK_TRUE(matcher.complete());
  return matcher.text();
}

// In each state that some answers come to, against asking for each token by itself. Grammars
// without an answer, or that are too much, are passed over.
void CheckMasks(const std::shared_ptr<TokenTrie>& trie, const text::Tokenizer& text,
                const Constraint& constraint, std::mt19937& random, int answers) {
  const auto grammar = Grammar::Create(
      trie, text, [&](Terms& terms) -> Result<Term> { return WriteConstraint(terms, constraint); });
  if (!grammar.ok()) return;
  for (int i = 0; i < answers; ++i) {
    Matcher matcher(*grammar);
    for (int step = 0; step < 7 && !matcher.finished(); ++step) {
      std::vector<TokenId> ids;
      for (uint32_t budget : {matcher.cost() + 1, 100'000u}) {
        MaskWords mask;
        if (!matcher.Allowed(budget, &mask).ok()) return;
        ids.clear();
        for (size_t t = 0; t < text.size(); ++t) {
          if (matcher.Allows(static_cast<TokenId>(t), budget) != Has(mask, t)) {
            FAIL(fmt::format("{}: token {} after {} within {}", constraint.source, t,
                             matcher.text(), budget)
                     .c_str());
          }
          if (Has(mask, t) && !text.EndsTurn(static_cast<TokenId>(t)))
            ids.push_back(static_cast<TokenId>(t));
        }
      }
      if (ids.empty()) break;
      CHECK_OK(matcher.Accept(ids[random() % ids.size()]));
    }
  }
}

std::string RandomPattern(std::mt19937& random, int depth) {
  const auto pick = [&](std::initializer_list<const char*> list) {
    return std::string(list.begin()[random() % list.size()]);
  };
  std::string out;
  for (size_t n = 1 + random() % 3; n > 0; --n) {
    if (depth > 0 && random() % 3 == 0) {
      out += "(" + RandomPattern(random, depth - 1) + "|" + RandomPattern(random, depth - 1) + ")";
    } else {
      out += pick({"[a-z]", "[a-z0-9_]", "[^a]", ".", "\\w", "[ -~]", "[0-9]", "[^\\u4f60\"]",
                   "foo", "bar", "x-y", "12", "\\.", " ", "a", "[^\\n]", "\\p{L}"});
    }
    out += pick({"", "", "*", "+", "?", "{2}", "{0,3}", "{1,9}", "{0,40}", "{3,}"});
  }
  return out;
}

}  // namespace

TEST_GROUP(Grammar) { std::unique_ptr<text::Tokenizer> tokenizer = SmallTokenizer(); };

// Against asking for each token by itself, with every budget.
TEST(Grammar, MasksAreWhatEachTokenByItselfWouldBe) {
  const auto grammar = Make(*tokenizer, WriteTree);
  std::mt19937 random(5);
  for (int i = 0; i < 40; ++i) {
    Matcher matcher(grammar);
    for (int step = 0; step < 40 && !matcher.finished(); ++step) {
      const uint32_t cost = matcher.cost();
      std::vector<TokenId> ids;
      for (uint32_t budget : {cost, cost + 1, cost + 3, cost + 100, 100'000u}) {
        MaskWords mask;
        CHECK_OK(matcher.Allowed(budget, &mask));
        ids.clear();
        for (size_t t = 0; t < tokenizer->size(); ++t) {
          CHECK_EQUAL(matcher.Allows(static_cast<TokenId>(t), budget), Has(mask, t));
          if (Has(mask, t)) ids.push_back(static_cast<TokenId>(t));
        }
        CHECK_TRUE(!ids.empty());
      }
      CHECK_OK(matcher.Accept(ids[random() % ids.size()]));
    }
  }
}

// Tokens of text are not walked to, but known by their characters: in every state that texts of
// these kinds come to, the mask is what asking for each token says.
TEST(Grammar, MasksOfTextAreWhatEachTokenByItselfWouldBe) {
  const auto text = TextTokenizer();
  const auto schema = [](const char* source) {
    return Constraint{Constraint::Kind::kJsonSchema, source, ""};
  };
  const auto regex = [](const char* source) {
    return Constraint{Constraint::Kind::kRegex, source, ""};
  };
  const std::vector<Constraint> constraints = {
      schema(R"({"type": "string"})"),
      schema(R"({"type": "string", "maxLength": 3})"),
      schema(R"({"type": "string", "minLength": 4, "maxLength": 6})"),
      schema(R"({"type": "string", "pattern": "^.*bar$"})"),
      schema(R"({"type": "string", "pattern": "^[^a]{2,30}a?$"})"),
      schema(R"({"type": "string", "pattern": "^[a-z]{1,3}-[a-z]{2}$"})"),
      schema(R"({"type": "string", "pattern": "^[a-z_][a-z0-9_]{0,30}$"})"),
      schema(R"({"type": "string", "pattern": "^[\\p{L} ]+$"})"),
      schema(R"({"type": "string", "pattern": "^[^\u4f60]*$"})"),
      schema(R"({"type": "string", "format": "email"})"),
      schema(R"({"type": "string", "format": "email", "maxLength": 20})"),
      schema(R"({"type": "string", "format": "hostname"})"),
      schema(
          R"({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "string", "minLength": 4}]})"),
      schema(R"({"enum": ["foobar", "foo-bar", 12, null]})"),
      schema(R"({"patternProperties": {"f.*o": {"type": "integer"}}})"),
      schema(R"({"patternProperties": {"f": true, "b": false}})"),
      schema(
          R"({"properties": {"foo": {"type": "integer"}}, "patternProperties": {"f.o": {"maximum": 9}},
                 "additionalProperties": {"type": "string"}})"),
      schema(R"({"type": "object", "additionalProperties": {"type": "string", "maxLength": 1},
                 "propertyNames": {"maxLength": 3}})"),
      schema(R"({"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 5}})"),
      regex("[a-z]+@[a-z]+\\.org"),
      regex("[a-z]*7|[a-z]*12"),
      regex(".*"),
      regex("[^]*x"),
      regex("[^]{0,3}[a-z]{5}"),
      regex("\"[^\"\\x00-\\x1f]*\""),
      regex("(foo|[a-z]{0,20})12"),
      regex("([a-z]{2,5} ){0,9}x?"),
      regex("[a-z]{0,9}(bar)?[0-9]{3}"),
      regex("\\s*\\w{3,12}\\s*")};
  const auto trie = std::make_shared<TokenTrie>(text->vocabulary());
  std::mt19937 random(31);
  for (const Constraint& constraint : constraints) CheckMasks(trie, *text, constraint, random, 4);
}

// Patterns that nobody thought of, as answers, as strings of a limited length, and as names.
TEST(Grammar, MasksOfAnyPatternAreWhatEachTokenByItselfWouldBe) {
  const auto text = TextTokenizer();
  const auto trie = std::make_shared<TokenTrie>(text->vocabulary());
  const char* const number = getenv("MINNOW_PATTERNS");  // more of them
  const auto n = static_cast<uint32_t>(number ? atoi(number) : 40);
  for (uint32_t seed = 0; seed < n; ++seed) {
    std::mt19937 random(seed);
    const std::string first = RandomPattern(random, 3), second = RandomPattern(random, 2);
    nlohmann::ordered_json schema = {{"type", "string"}, {"pattern", "^(" + first + ")$"}};
    if (seed % 2 == 0) schema["maxLength"] = 1 + random() % 40;
    if (seed % 3 == 0) {
      schema = {{"anyOf", {schema, {{"type", "string"}, {"pattern", second}}}}};
    } else if (seed % 5 == 0) {
      schema = {
          {"patternProperties", {{first, {{"type", "integer"}}}, {second, {{"maximum", 9}}}}}};
      if (seed % 10 == 0) schema["additionalProperties"] = {{"type", "string"}, {"maxLength", 2}};
    }
    CheckMasks(trie, *text, {Constraint::Kind::kRegex, first, ""}, random, 1);
    CheckMasks(trie, *text, {Constraint::Kind::kJsonSchema, schema.dump(), ""}, random, 1);
  }
}

TEST(Grammar, AnswersEndWellWithinAnyBudgetThatIsEnough) {
  const auto grammar = Make(*tokenizer, WriteTree);
  std::mt19937 random(6);
  const uint32_t least = grammar->shortest();
  for (int i = 0; i < 300; ++i) {
    Matcher matcher(grammar);
    const uint32_t budget = least + static_cast<uint32_t>(i) / 5;
    uint32_t used = 0;
    const std::string text = Play(matcher, *tokenizer, budget, random, &used);
    CHECK_TRUE(used <= budget);
    STRCMP_CONTAINS("{\"name\": \"", text.c_str());
    CHECK_EQUAL('}', text.back());
  }
}

TEST(Grammar, TellWhatHasToComeAndWhatIsLikely) {
  const auto grammar = Make(*tokenizer, [](Terms& terms) -> Result<Term> {
    const std::vector<Term> parts = {terms.Literal("{\"total\": "), AnyString(terms),
                                     terms.Literal(", \"paid\": true}")};
    return terms.Concat(parts);
  });
  Matcher matcher(grammar);
  const auto spelled = [&](const std::vector<TokenId>& tokens) {
    std::string out;
    for (TokenId t : tokens) out += matcher.trie().Bytes(t);
    return out;
  };
  Matcher::Forced forced = matcher.Next(100);
  // A token joins the quotation mark with a colon, which a string may begin with.
  STRCMP_EQUAL("{\"total\": ", spelled(forced.certain).c_str());
  STRCMP_EQUAL("\"", spelled(forced.likely).c_str());
  for (TokenId t : forced.certain) CHECK_OK(matcher.Accept(t));
  for (TokenId t : forced.likely) CHECK_OK(matcher.Accept(t));
  CHECK_TRUE(matcher.Next(100).certain.empty());
  CHECK_OK(matcher.Accept('x'));
  CHECK_OK(matcher.Accept('"'));
  forced = matcher.Next(100);
  STRCMP_EQUAL(", \"paid\": true}", spelled(forced.certain).c_str());
  CHECK_TRUE(forced.likely.empty());
  CHECK_TRUE(matcher.Next(matcher.cost()).certain.size() <= matcher.cost());
  for (TokenId t : forced.certain) CHECK_OK(matcher.Accept(t));
  CHECK_TRUE(matcher.finished());
}

TEST(Grammar, AnEndOfTurnMayComeWhereTheAnswerIsComplete) {
  const auto grammar = Make(*tokenizer, [](Terms& terms) -> Result<Term> {
    return terms.Repeat(terms.Bytes(ByteSet::Range('0', '9')), 1, 3);
  });
  Matcher matcher(grammar);
  const TokenId end = tokenizer->vocabulary().eos;
  CHECK_FALSE(matcher.Allows(end, 10));
  CHECK_OK(matcher.Accept('1'));
  CHECK_TRUE(matcher.Allows(end, 10));
  CHECK_TRUE(matcher.complete());
  CHECK_FALSE(matcher.finished());
  CHECK_OK(matcher.Accept('1'));
  CHECK_OK(matcher.Accept('1'));
  CHECK_TRUE(matcher.finished());
}

TEST(Grammar, WithoutAnyAnswerIsRefused) {
  const auto refused = Grammar::Create(std::make_shared<TokenTrie>(tokenizer->vocabulary()),
                                       *tokenizer, [](Terms& terms) -> Result<Term> {
                                         return terms.And(terms.Literal("a"), terms.Literal("b"));
                                       });
  CHECK_ERROR(Code::kInvalid, "no answer satisfies", refused.status());
}

// Every string of the language can be told in every way that tokens can be put together.
TEST(Grammar, BordersOfTokensDoNotMatter) {
  const auto grammar = Make(*tokenizer, WriteTree);
  std::mt19937 random(9);
  for (int i = 0; i < 200; ++i) {
    uint32_t used = 0;
    Matcher writer(grammar);
    const std::string text = Play(writer, *tokenizer, 60, random, &used);
    Matcher reader(grammar);
    size_t at = 0;
    while (at < text.size()) {
      std::vector<TokenId> ids;
      for (size_t t = 0; t < tokenizer->size(); ++t) {
        const std::string_view bytes = reader.trie().Bytes(static_cast<TokenId>(t));
        if (!bytes.empty() && std::string_view(text).substr(at).starts_with(bytes))
          ids.push_back(static_cast<TokenId>(t));
      }
      const TokenId token = ids[random() % ids.size()];
      CHECK_TRUE(reader.Allows(token, 100'000));
      CHECK_OK(reader.Accept(token));
      at += reader.trie().Bytes(token).size();
    }
    CHECK_TRUE(reader.complete());
  }
}

// Real vocabularies have tokens of all kinds: the shortcuts of the masks see none of them wrongly,
// and what the grammar allows can be written with each.
TEST(Grammar, HoldsForTheVocabulariesOfTheField) {
  for (const char* name : {"tokenizers/smollm2/tokenizer.json", "tokenizers/phi-3/tokenizer.json",
                           "tokenizers/mistral-v0.3/sentencepiece-mistral03.model",
                           "tokenizers/vocab-gguf/ggml-vocab-falcon.gguf"}) {
    const std::string path = test::DataOrSkip(name, name);
    if (path.empty()) continue;
    auto loaded = text::LoadTokenizer(path);
    CHECK_OK(loaded.status());
    const text::Tokenizer& real = **loaded;
    const auto grammar = Make(real, WriteTree);
    std::mt19937 random(12);
    for (int i = 0; i < 12; ++i) {
      uint32_t used = 0;
      Matcher writer(grammar);
      const std::string text = Play(writer, real, 40 + random() % 40, random, &used);
      Matcher reader(grammar);
      auto tokens = real.Encode(text, false, {.add_bos = false});
      CHECK_OK(tokens.status());
      const bool is_exact = real.Decode(*tokens) == text;  // no added space
      for (size_t k = 0; is_exact && k < tokens->size(); ++k) {
        if (k % 5 == static_cast<size_t>(i) % 5) {
          MaskWords mask;
          CHECK_OK(reader.Allowed(100'000, &mask));
          for (size_t t = 0; t < real.size(); ++t) {
            if (reader.Allows(static_cast<TokenId>(t), 100'000) != Has(mask, t))
              FAIL(fmt::format("{}: token {} after {}", name, t, reader.text()).c_str());
          }
        }
        CHECK_OK(reader.Accept((*tokens)[k]));
      }
    }
  }
}

// Long, deep, and each part in one another many times: a mask looks at so many terms and no more.
TEST(Grammar, MasksOfHostileTermsAreMadeInBoundedTime) {
  const auto text = TextTokenizer();
  std::string classes, nested = "x";
  for (int i = 0; i < 15'000; ++i) classes += "[ab]";
  for (int i = 0; i < 60; ++i) nested = fmt::format("([a-y]{{0,9}}({})?[b-z]?)", nested);
  std::string doubled = R"({"$ref": "#/$defs/d0", "$defs": {)";
  for (int i = 0; i < 40; ++i) {
    doubled += fmt::format(
        R"("d{0}": {{"anyOf": [{{"type": "string", "pattern": "^a{0}"}}, {{"$ref": "#/$defs/d{1}"}},
            {{"items": {{"$ref": "#/$defs/d{1}"}}, "type": "array"}}]}},)",
        i, i + 1);
  }
  doubled += R"("d40": {"type": "string"}}})";
  for (const Constraint& constraint : {Constraint{Constraint::Kind::kRegex, classes, ""},
                                       Constraint{Constraint::Kind::kRegex, nested, ""},
                                       Constraint{Constraint::Kind::kJsonSchema, doubled, ""}}) {
    const auto grammar = Make(
        *text, [&](Terms& terms) -> Result<Term> { return WriteConstraint(terms, constraint); });
    Matcher matcher(grammar);
    std::mt19937 random(8);
    for (int i = 0; i < 12 && !matcher.finished(); ++i) {
      MaskWords mask;
      if (const Status status = matcher.Allowed(1'000'000, &mask); !status.ok()) {
        CHECK_ERROR(Code::kExhausted, "simpler", status);
        break;
      }
      std::vector<TokenId> ids;
      for (size_t t = 0; t < text->size(); ++t) {
        if (Has(mask, t) && !text->EndsTurn(static_cast<TokenId>(t)))
          ids.push_back(static_cast<TokenId>(t));
      }
      CHECK_OK(matcher.Accept(ids[random() % ids.size()]));
    }
  }
}

// What a grammar allows can be written with the tokens of every vocabulary, wherever they are cut.
TEST(Grammar, NoVocabularyHindersWhatIsAllowed) {
  const auto writer = TextTokenizer();
  const auto write = [](Terms& terms) {
    return WriteConstraint(
        terms,
        {Constraint::Kind::kJsonSchema,
         R"({"properties": {"name": {"type": "string", "maxLength": 40}, "n": {"type": "integer"},
                    "mail": {"type": "string", "format": "email"}, "kind": {"enum": ["foo", "b-a r"]},
                    "code": {"type": "string", "pattern": "^[^\\d]{2,9}[0-9a-f]{0,4}$"},
                    "list": {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 4}},
                    "required": ["name", "n", "mail", "kind", "code", "list"]})",
         ""});
  };
  std::vector<std::string> texts;
  std::mt19937 random(40);
  const auto source = Make(*writer, write);
  for (int i = 0; i < 25; ++i) {
    Matcher matcher(source);
    uint32_t used = 0;
    texts.push_back(Play(matcher, *writer, 60 + random() % 90, random, &used));
  }
  for (const char* name :
       {"mistral-v0.3/sentencepiece-mistral03.model", "phi-2/tokenizer.json",
        "phi-3/tokenizer.json", "llama3/tokenizer.model", "qwen2.5", "smollm2/tokenizer.json",
        "tinyllama/tokenizer.json", "tinyllama/tokenizer.model",
        "vocab-gguf/ggml-vocab-deepseek-coder.gguf", "vocab-gguf/ggml-vocab-falcon.gguf",
        "vocab-gguf/ggml-vocab-gpt-2.gguf", "vocab-gguf/ggml-vocab-llama-spm.gguf",
        "vocab-gguf/ggml-vocab-phi-3.gguf", "vocab-gguf/ggml-vocab-refact.gguf",
        "vocab-gguf/ggml-vocab-starcoder.gguf"}) {
    const std::string path = test::DataOrSkip(std::string("tokenizers/") + name, name);
    if (path.empty()) continue;
    const auto tokenizer = Published(name, path);
    const auto grammar = Make(*tokenizer, write);
    for (const std::string& text : texts) {
      Matcher reader(grammar);
      const TokenTrie& trie = reader.trie();
      CHECK_TRUE(trie.CountTokens(text) != kUnbounded);
      for (size_t at = 0; at < text.size();) {
        std::vector<TokenId> ids;
        uint32_t node = TokenTrie::kNoNode;
        for (size_t k = at; k < text.size(); ++k) {
          node = trie.Child(node, static_cast<uint8_t>(text[k]));
          if (node == TokenTrie::kNoNode) break;
          if (trie.nodes()[node].token != text::kNoToken) ids.push_back(trie.nodes()[node].token);
        }
        const TokenId token = ids[random() % ids.size()];
        MaskWords mask;
        CHECK_OK(reader.Allowed(100'000, &mask));
        if (!Has(mask, static_cast<size_t>(token)))
          FAIL(
              fmt::format("{}: token {} after {} of {}", name, token, reader.text(), text).c_str());
        CHECK_OK(reader.Accept(token));
        at += trie.Bytes(token).size();
      }
      CHECK_TRUE(reader.complete());
    }
  }
}

// The masks of copied spans come from the document, not from states: against asking for each token.
TEST(Grammar, MasksOfCopiedSpansAreWhatEachTokenByItselfWouldBe) {
  const std::string document =
      "abc \"tab\" true  true\n\nCaf\xC3\xA9 12 $12 \\ abc abcabc\ttr\xC3\xA9s 1 2 end";
  for (const bool fuzzy : {false, true}) {
    const auto grammar = Make(*tokenizer, [&](Terms& terms) -> Result<Term> {
      MNW_ASSIGN(const auto spans,
                 DocumentSpans::Create(document, {.fuzzy_space = fuzzy, .max_characters = 12}));
      const Term any = SpanTerm(terms, spans);
      const Term number = terms.And(any, terms.Repeat(terms.Bytes(ByteSet::Range('0', '9')), 1, 4));
      const std::vector<Term> value = {terms.Literal("\""), terms.Or(any, terms.Literal("none")),
                                       terms.Literal("\"")};
      const std::vector<Term> parts = {terms.Literal("{\"a\": "), terms.Concat(value),
                                       terms.Literal(", \"b\": \""), number, terms.Literal("\"}")};
      return terms.Concat(parts);
    });
    std::mt19937 random(21);
    for (int i = 0; i < 60; ++i) {
      Matcher matcher(grammar);
      while (!matcher.finished()) {
        MaskWords mask;
        CHECK_OK(matcher.Allowed(100'000, &mask));
        std::vector<TokenId> ids;
        for (size_t t = 0; t < tokenizer->size(); ++t) {
          if (matcher.Allows(static_cast<TokenId>(t), 100'000) != Has(mask, t))
            FAIL(fmt::format("token {} after {}", t, matcher.text()).c_str());
          if (Has(mask, t)) ids.push_back(static_cast<TokenId>(t));
        }
        CHECK_OK(matcher.Accept(ids[random() % ids.size()]));
      }
      const std::string text = matcher.text();
      CHECK_TRUE(text.ends_with("\"}"));
    }
    // The end comes in time also where a span is far from its own.
    for (int i = 0; i < 60; ++i) {
      Matcher matcher(grammar);
      uint32_t used = 0;
      const uint32_t budget = grammar->shortest() + static_cast<uint32_t>(i) % 12;
      Play(matcher, *tokenizer, budget, random, &used);
      CHECK_TRUE(used <= budget);
    }
  }
}

// A long word that may not be cut is begun only where the budget suffices for all of it.
TEST(Grammar, SpansThatAreFarFromTheirEndAreBegunWithinABudget) {
  const std::string document = std::string(600, '1') + " abc " + std::string(300, '1') + "2";
  const auto grammar = Make(*tokenizer, [&](Terms& terms) -> Result<Term> {
    MNW_ASSIGN(const auto spans, DocumentSpans::Create(document, {.whole_words = true}));
    const std::vector<Term> parts = {terms.Literal("\""), SpanTerm(terms, spans),
                                     terms.Literal("\"")};
    return terms.Concat(parts);
  });
  std::mt19937 random(22);
  for (const uint32_t budget : {5u, 100u, 270u, 304u, 500u, 700u}) {
    for (int i = 0; i < 8; ++i) {
      Matcher matcher(grammar);
      uint32_t used = 0;
      const std::string text = Play(matcher, *tokenizer, budget, random, &used);
      CHECK_TRUE(used <= budget);
      CHECK_TRUE(document.find(text.substr(1, text.size() - 2)) != std::string::npos);
    }
  }
}

// What is forgotten of the counts in an intersection decides whether there is an end at all: of
// triples in at most nine bytes, and of four digits among those of a document.
TEST(Grammar, MasksOfIntersectionsLeadIntoNoDeadEnd) {
  const std::string document = "12345678901234567890 1111 222222 ";
  for (const bool copied : {false, true}) {
    const auto grammar = Make(*tokenizer, [&](Terms& terms) -> Result<Term> {
      const Term digit = terms.Bytes(ByteSet::Range('0', '9'));
      if (copied) {
        MNW_ASSIGN(const auto spans, DocumentSpans::Create(document));
        const Term four = terms.Repeat(digit, 4, 4);
        return terms.And(SpanTerm(terms, spans), terms.Concat(four, terms.Literal(" 2")));
      }
      const Term triples = terms.Repeat(terms.Repeat(digit, 3, 3), 1, kUnbounded);
      return terms.Concat(terms.And(terms.Concat(triples, terms.Literal(" ")),
                                    terms.Repeat(terms.Bytes(~ByteSet()), 0, 9)),
                          terms.Literal("end"));
    });
    std::mt19937 random(23);
    for (int i = 0; i < 60; ++i) {
      Matcher matcher(grammar);
      uint32_t used = 0;
      Play(matcher, *tokenizer, 200, random, &used);
    }
  }
}

// In digits without end, any number of digits and a slash would be looked for in vain, and for
// long.
TEST(Grammar, DatesAreFoundAmongManyDigits) {
  std::mt19937 random(24);
  std::string document;
  while (document.size() < 20'000) document += static_cast<char>('0' + random() % 10);
  const auto grammar = Make(*tokenizer, [&](Terms& terms) -> Result<Term> {
    MNW_ASSIGN(const auto spans, DocumentSpans::Create(document));
    return terms.Concat(terms.And(SpanTerm(terms, spans), DatePattern(terms)), terms.Literal("\n"));
  });
  for (int i = 0; i < 5; ++i) {
    Matcher matcher(grammar);
    uint32_t used = 0;
    const std::string text = Play(matcher, *tokenizer, 200, random, &used);
    CHECK_EQUAL(9u, text.size());
    CHECK_TRUE(document.find(text.substr(0, 8)) != std::string::npos);
  }
}

// What is learned for one answer is used by the others: whoever comes first, the masks are those of
// an answer that has a grammar for itself.
TEST(Grammar, MasksAreTheSameForThreadsThatAskAtOnce) {
  const std::string document = "On 3 May 2021 Abel & Sons paid 120.50 to true Abe.";
  const Constraint constraints[] = {
      {Constraint::Kind::kJsonSchema, R"({"type": "object", "properties": {
          "name": {"type": "string", "x-from-source": true, "maxLength": 20},
          "value": {"type": "array", "items": {"type": "integer"}, "maxItems": 5}}})",
       document},
      {Constraint::Kind::kRegex, R"(([a-z]{2,9}, ){1,4}(true|tru[a-f]+|12\.[0-9]{2}))", ""},
      {Constraint::Kind::kGbnf, "root ::= \"[\" (root (\",\" root){0,3})? \"]\" | [0-9]{1,3}", ""},
      {Constraint::Kind::kChoice, R"(["true", "trial", "abc", "abcabc", "\"12\": "])", ""}};
  struct Answer {
    std::vector<MaskWords> masks;
    std::vector<std::vector<TokenId>> forced;
    std::string text;
    bool operator==(const Answer&) const = default;
  };
  const auto play = [&](const std::shared_ptr<Grammar>& grammar, uint32_t seed) {
    std::mt19937 random(seed);
    Answer answer;
    Matcher matcher(grammar);
    for (uint32_t left = 40; !matcher.finished() && left > 0; --left) {
      answer.forced.push_back(matcher.Next(left).certain);
      MaskWords& mask = answer.masks.emplace_back();
      std::vector<TokenId> ids;
      if (!matcher.Allowed(left, &mask).ok()) break;
      for (size_t i = 0; i < tokenizer->size(); ++i) {
        if (Has(mask, i)) ids.push_back(static_cast<TokenId>(i));
      }
      if (ids.empty()) break;
      const TokenId token = ids[random() % ids.size()];
      if (!matcher.Allows(token, left) || !matcher.Accept(token).ok()) break;
      if (tokenizer->EndsTurn(token)) break;
    }
    answer.text = matcher.text();
    return answer;
  };
  constexpr uint32_t kThreads = 4, kAnswers = 24;
  std::vector<Answer> alone;
  for (uint32_t i = 0; i < kAnswers; ++i) {
    GrammarCache own(*tokenizer);
    const auto grammar = own.Get(constraints[i % std::size(constraints)]);
    CHECK_OK(grammar.status());
    alone.push_back(play(*grammar, i));
    CHECK(!alone.back().text.empty());
  }
  for (int round = 0; round < 5; ++round) {
    GrammarCache cache(*tokenizer);
    std::vector<std::vector<Answer>> together(kThreads, std::vector<Answer>(kAnswers));
    std::vector<std::thread> threads;
    for (uint32_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (uint32_t k = 0; k < kAnswers; ++k) {
          const uint32_t i = (k + t * 5) % kAnswers;
          const auto grammar = cache.Get(constraints[i % std::size(constraints)]);
          if (grammar.ok()) together[t][i] = play(*grammar, i);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& answers : together) CHECK(answers == alone);
  }
}
