#include "constrain/spans.h"

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "constrain/json_text.h"
#include "constrain/value_patterns.h"
#include "test_util.h"
#include "text/utf8.h"

using namespace minnow;
using namespace minnow::constrain;

namespace {

using Strings = std::set<std::string>;

std::shared_ptr<DocumentSpans> Spans(std::string_view document, const SpanOptions& options = {}) {
  auto spans = DocumentSpans::Create(document, options);
  CHECK_OK(spans.status());
  return *spans;
}

uint32_t After(DocumentSpans& spans, std::string_view written) {
  uint32_t state = DocumentSpans::kStart;
  for (char c : written) {
    if (state == Automaton::kDead) break;
    state = spans.Next(state, static_cast<uint8_t>(c));
  }
  return state;
}

bool Has(DocumentSpans& spans, std::string_view written) {
  const uint32_t state = After(spans, written);
  return state != Automaton::kDead && spans.Accepts(state);
}

// Everything that the automaton writes, found by going through its states; each state's claims
// about itself are checked on the way.
Strings Language(DocumentSpans& spans) {
  Strings all;
  if (spans.empty()) return all;
  std::vector<std::pair<uint32_t, std::string>> open = {{DocumentSpans::kStart, ""}};
  while (!open.empty()) {
    const auto [state, text] = open.back();
    open.pop_back();
    const ByteSet first = spans.First(state);
    if (spans.Accepts(state)) all.insert(text);
    uint32_t nearest = Automaton::kDead;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const uint32_t next = spans.Next(state, static_cast<uint8_t>(byte));
      CHECK_EQUAL(first.Has(static_cast<uint8_t>(byte)), next != Automaton::kDead);
      if (next == Automaton::kDead) continue;
      nearest = std::min(nearest, spans.Distance(next));
      open.emplace_back(next, text + static_cast<char>(byte));
    }
    if (spans.Accepts(state)) {
      CHECK_EQUAL(0u, spans.Distance(state));
    } else {
      CHECK_EQUAL(nearest + 1, spans.Distance(state));
    }
  }
  return all;
}

std::vector<std::string> Characters(std::string_view text) {
  std::vector<std::string> out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = text::DecodeUtf8(text, at).length;
    out.emplace_back(text.substr(at, length));
    at += length;
  }
  return out;
}

bool White(const std::string& c) { return text::IsWhiteSpace(text::DecodeUtf8(c, 0).value); }
bool Digit(const std::string& c) { return c[0] >= '0' && c[0] <= '9'; }
bool Letter(const std::string& c) { return c == "a" || c == "b" || c == "\u00E9"; }

bool CutsWord(const std::vector<std::string>& text, size_t at) {
  if (at == 0 || at == text.size()) return false;
  const auto digit = [&](size_t i) { return i < text.size() && Digit(text[i]); };
  const auto point = [&](size_t i) { return text[i] == "." || text[i] == ","; };
  if (Letter(text[at - 1]) && Letter(text[at])) return true;
  if (digit(at - 1) && digit(at)) return true;
  if (digit(at - 1) && point(at) && digit(at + 1)) return true;
  return at >= 2 && digit(at - 2) && point(at - 1) && digit(at);
}

// What a span is, said once more: every pair of places, and every choice for each run.
Strings Expected(std::string_view document, const SpanOptions& options) {
  Strings all;
  const std::vector<std::string> text = Characters(document);
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (size_t end = begin + 1; end <= text.size(); ++end) {
      if (White(text[begin]) || White(text[end - 1])) continue;
      if (options.whole_words && (CutsWord(text, begin) || CutsWord(text, end))) continue;
      std::map<std::string, size_t> values = {{"", 0}};  // and their characters
      for (size_t at = begin; at < end;) {
        size_t run = at + 1;
        if (options.fuzzy_space && White(text[at])) {
          while (White(text[run])) ++run;
        }
        std::map<std::string, size_t> longer;
        for (const auto& [value, count] : values) {
          std::string as_is = value;
          for (size_t i = at; i < run; ++i) as_is += text[i];
          longer.emplace(as_is, count + run - at);
          if (options.fuzzy_space && White(text[at])) longer.emplace(value + " ", count + 1);
        }
        values = std::move(longer);
        at = run;
      }
      for (const auto& [value, count] : values) {
        if (count <= options.max_characters) {
          all.insert(options.raw ? value : JsonContent(value));
        }
      }
    }
  }
  return all;
}

std::string RandomDocument(std::mt19937& random, std::span<const std::string> letters,
                           size_t length) {
  std::string text;
  while (length-- > 0) text += letters[random() % letters.size()];
  return text;
}

std::string Shown(const std::string& text) { return JsonQuote(text); }

void CheckSame(const Strings& expected, const Strings& actual, const std::string& where) {
  for (const auto& s : expected) {
    if (actual.count(s) == 0) FAIL(("missing " + Shown(s) + " of " + Shown(where)).c_str());
  }
  for (const auto& s : actual) {
    if (expected.count(s) == 0) FAIL(("too much " + Shown(s) + " of " + Shown(where)).c_str());
  }
}

// The tokens that the walk of spans.h allows from a state, and those behind which the span may end
// with more of the token to come: as the header says it, over a sorted list instead of a trie.
void WalkTokens(const DocumentSpans& spans, uint32_t state, const std::vector<std::string>& tokens,
                std::set<std::string>* allowed, std::set<std::string>* ended) {
  std::function<void(const std::string&, size_t, uint32_t, uint32_t, bool)> walk =
      [&](const std::string& token, size_t done, uint32_t at, uint32_t limit, bool started) {
        if (started && spans.MayEnd(at)) ended->insert(token.substr(0, done));
        if (done == token.size()) {
          allowed->insert(token);
          return;
        }
        if (at == spans.written().size()) return;
        if (spans.written()[at] == token[done] && spans.Within(at + 1, limit)) {
          walk(token, done + 1, at + 1, limit, true);
        }
        const auto space = started ? spans.SpaceAt(at) : DocumentSpans::Space{};
        if (space.end != 0 && token[done] == ' ' && spans.Within(space.end, limit + space.gain)) {
          walk(token, done + 1, space.end, limit + space.gain, true);
        }
      };
  spans.ForEachPlace(state, [&](uint32_t place, uint32_t limit) {
    for (const auto& token : tokens) {
      walk(token, 0, place, limit, state != DocumentSpans::kStart);
    }
  });
}

const std::string kLetters[] = {"a", "b", " ", "\n", "\"", "\u00E9", ".", "1", "\u00A0", "\t"};

}  // namespace

TEST_GROUP(Spans){};

TEST(Spans, AreThePiecesOfTheDocumentAndNothingElse) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    SpanOptions options;
    options.raw = random() % 2 == 0;
    options.fuzzy_space = random() % 2 == 0;
    options.whole_words = random() % 2 == 0;
    options.max_characters = random() % 3 == 0 ? 1000 : 1 + random() % 5;
    const size_t letters = 1 + random() % std::size(kLetters);
    const std::string document =
        RandomDocument(random, std::span(kLetters, letters), random() % 14);
    const auto spans = Spans(document, options);
    const Strings expected = Expected(document, options);
    CHECK_EQUAL(expected.empty(), spans->empty());
    CheckSame(expected, Language(*spans), document);
    CHECK_OK(spans->status());
  }
}

TEST(Spans, OfALongRepetitionAreThoseOfAnyTextOfThatKind) {
  std::mt19937 random(2);
  for (int round = 0; round < 60; ++round) {
    SpanOptions options;
    options.fuzzy_space = round % 2 == 0;
    options.whole_words = round % 3 == 0;
    options.max_characters = 1 + random() % 6;
    const std::string piece = RandomDocument(random, std::span(kLetters, 5), 1 + random() % 5);
    std::string document;
    for (int i = 0; i < 8; ++i) document += piece;
    document += RandomDocument(random, std::span(kLetters, 5), random() % 6);
    const auto spans = Spans(document, options);
    CheckSame(Expected(document, options), Language(*spans), document);
  }
  // What looks the same for as long as a span may be, and is not: where it may end, and what comes
  // behind white space that may be one space.
  SpanOptions words;
  words.whole_words = true;
  words.max_characters = 3;
  CheckSame(Expected("a1.5 a1.x", words), Language(*Spans("a1.5 a1.x", words)), "a1.5 a1.x");
  SpanOptions fuzzy;
  fuzzy.fuzzy_space = true;
  fuzzy.max_characters = 3;
  CheckSame(Expected("a    b a    c", fuzzy), Language(*Spans("a    b a    c", fuzzy)), "a  b");
  const std::string many(100'000, 'a');
  const auto spans = Spans(many);
  CHECK_EQUAL(1000u, spans->CountPlaces(DocumentSpans::kStart));
  CHECK(Has(*spans, std::string(1000, 'a')));
  CHECK_FALSE(Has(*spans, std::string(1001, 'a')));
  CHECK_EQUAL(0, spans->First(After(*spans, std::string(1000, 'a'))).Count());
  CHECK_OK(spans->status());
  CHECK(spans->bytes() < size_t{8} << 20);
}

TEST(Spans, WalkOfTheHeaderAllowsTheTokensThatTheStatesAllow) {
  std::mt19937 random(3);
  for (int round = 0; round < 100; ++round) {
    SpanOptions options;
    options.raw = random() % 2 == 0;
    options.fuzzy_space = random() % 2 == 0;
    options.whole_words = random() % 2 == 0;
    options.max_characters = random() % 2 == 0 ? 1000 : 1 + random() % 6;
    const std::string document =
        RandomDocument(random, std::span(kLetters, 2 + random() % 9), 1 + random() % 20);
    const auto spans = Spans(document, options);
    std::vector<std::string> tokens;
    for (int i = 0; i < 60; ++i) {
      std::string bytes = RandomDocument(random, kLetters, 3);
      if (!options.raw) bytes = JsonContent(bytes);
      tokens.push_back(bytes.substr(0, 1 + random() % bytes.size()));
      const size_t at = random() % spans->written().size();
      tokens.push_back(spans->written().substr(at, 1 + random() % 4));
    }
    // From the start, and from wherever a few random tokens lead.
    uint32_t state = DocumentSpans::kStart;
    for (int step = 0; step < 6; ++step) {
      std::set<std::string> allowed, ended, expected, expected_ended;
      WalkTokens(*spans, state, tokens, &allowed, &ended);
      std::vector<uint32_t> next_states;
      for (const auto& token : tokens) {
        uint32_t at = state;
        for (size_t i = 0; i <= token.size() && at != Automaton::kDead; ++i) {
          if (spans->Accepts(at)) expected_ended.insert(token.substr(0, i));
          if (i == token.size()) {
            expected.insert(token);
            next_states.push_back(at);
          } else {
            at = spans->Next(at, static_cast<uint8_t>(token[i]));
          }
        }
      }
      CheckSame(expected, allowed, document);
      CheckSame(expected_ended, ended, document);
      if (next_states.empty()) break;
      state = next_states[random() % next_states.size()];
    }
  }
}

TEST(Spans, BeginAndEndBetweenCharactersAsAReaderSeesThem) {
  const std::string accent = "e\u0301";  // one character of two code points
  const std::string family = "\U0001F468\u200D\U0001F469\u200D\U0001F467";
  const std::string flags = "\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7";
  const auto spans = Spans("x" + accent + "y " + family + flags);
  CHECK(Has(*spans, "x" + accent));
  CHECK(Has(*spans, accent));
  CHECK_FALSE(Has(*spans, "xe"));
  CHECK_FALSE(Has(*spans, "e"));
  CHECK(Has(*spans, family));
  CHECK_FALSE(Has(*spans, "\U0001F468"));
  CHECK(Has(*spans, "\U0001F1E9\U0001F1EA"));
  CHECK_EQUAL(Automaton::kDead, After(*spans, "\U0001F1EA\U0001F1EB"));
  CHECK_FALSE(Has(*spans, "\U0001F1E9\U0001F1EA\U0001F1EB"));
  // Inside the bytes of one code point as well.
  const auto euro = Spans("\u20AC");
  CHECK_FALSE(Has(*euro, "\xE2\x82"));
  CHECK_EQUAL(1u, euro->Distance(After(*euro, "\xE2\x82")));
}

TEST(Spans, AreSpelledAsJsonSpellsThem) {
  const std::string document("a\"b\\c\n\t\x01\x1f\x7f/\0z", 13);
  const auto spans = Spans(document);
  CHECK(JsonContent(document) == spans->written());
  CHECK(Has(*spans, JsonContent(document)));
  CHECK(Has(*spans, "\\\""));
  CHECK(Has(*spans, "\\u0001"));
  CHECK_FALSE(Has(*spans, "\\u000"));
  CHECK_FALSE(Has(*spans, "\\"));
  CHECK_EQUAL(Automaton::kDead, After(*spans, "\""));
  CHECK_EQUAL(Automaton::kDead, After(*spans, "b\\\\c\n"));
  CHECK_EQUAL(Automaton::kDead, After(*spans, "\\u001F"));
  SpanOptions raw;
  raw.raw = true;
  CHECK(Has(*Spans(document, raw), document));
}

TEST(Spans, KeepWordsAndNumbersWholeWhereAskedFor) {
  SpanOptions options;
  options.whole_words = true;
  const auto spans = Spans("TOTAL RM1,234.50SR on 09.04.2018, d\u00E9j\u00E0 vu.", options);
  for (const char* whole : {"TOTAL", "RM", "1,234.50", "RM1,234.50", "SR", "09.04.2018", ".",
                            "d\u00E9j\u00E0", "vu", "vu."}) {
    CHECK(Has(*spans, whole));
  }
  for (const char* part : {"TOT", "OTAL", "1", "234.50", "1,234", "50", "09", "04.2018", "d",
                           "vu.x", "j\u00E0", "R"}) {
    CHECK_FALSE(Has(*spans, part));
  }
}

TEST(Spans, OfWhatIsNoTextAreRefusedByOffset) {
  CHECK_ERROR(Code::kInvalid, "not valid UTF-8 at byte 2",
              DocumentSpans::Create("ab\xFFz").status());
  CHECK_ERROR(Code::kInvalid, "at byte 1", DocumentSpans::Create("a\xC3").status());
  CHECK_ERROR(Code::kInvalid, "at byte 0", DocumentSpans::Create("\xED\xA0\x80").status());
  std::string all_bytes;
  for (int b = 0; b < 256; ++b) all_bytes += static_cast<char>(b);
  CHECK_ERROR(Code::kInvalid, "at byte 128", DocumentSpans::Create(all_bytes).status());
  Terms terms;
  for (const char* nothing : {"", " ", "\r\n \t\u00A0\u3000"}) {
    const auto spans = Spans(nothing);
    CHECK(spans->empty());
    CHECK_EQUAL(kNever, SpanTerm(terms, spans));
  }
  SpanOptions none;
  none.max_characters = 0;
  CHECK(Spans("abc", none)->empty());
}

TEST(Spans, StayWithinTheirMemoryOrSaySo) {
  SpanOptions options;
  options.max_bytes = 150'000;
  CHECK_ERROR(Code::kExhausted, "raise the limit",
              DocumentSpans::Create(std::string(10'000, 'a'), options).status());
  // What is escaped takes more than it has bytes.
  CHECK_ERROR(Code::kExhausted, "raise the limit",
              DocumentSpans::Create(std::string(5'000, '\x01'), options).status());
  std::mt19937 random(4);
  std::string document;
  for (int i = 0; i < 4000; ++i) document += static_cast<char>('a' + random() % 2);
  const auto spans = Spans(document, options);
  std::vector<uint32_t> open = {DocumentSpans::kStart};
  while (!open.empty() && spans->status().ok()) {
    const uint32_t state = open.back();
    open.pop_back();
    for (char c : {'a', 'b'}) {
      const uint32_t next = spans->Next(state, static_cast<uint8_t>(c));
      if (next != Automaton::kDead) open.push_back(next);
    }
  }
  CHECK_ERROR(Code::kExhausted, "max_characters", spans->status());
  CHECK(spans->bytes() < 2 * options.max_bytes);
  // Terms that stand on them do not take that for the end of a language.
  Terms terms;
  const Term both = terms.And(SpanTerm(terms, spans), terms.Not(kEmpty));
  CHECK_OK(terms.Seal());
  terms.Derive(both, document.substr(3000, 20));
  CHECK_ERROR(Code::kExhausted, "max_characters", terms.status());
}

TEST(Spans, AreFoundAgainWithLineAndColumn) {
  const std::string document = "Tan\r\nD\u00E9j\u00E0 Tan\rx\n\nTan";
  const auto places = FindSpan(document, "Tan");
  CHECK_EQUAL(3u, places.size());
  const size_t expected[3][4] = {{0, 3, 1, 1}, {12, 15, 2, 6}, {19, 22, 5, 1}};
  for (size_t i = 0; i < 3; ++i) {
    CHECK_EQUAL(expected[i][0], places[i].begin);
    CHECK_EQUAL(expected[i][1], places[i].end);
    CHECK_EQUAL(expected[i][2], places[i].line);
    CHECK_EQUAL(expected[i][3], places[i].column);
  }
  CHECK_EQUAL(3u, FindSpan("aaaa", "aa").size());  // they may overlap
  for (const char* none : {"", " ", "Tan\r\n", " Tan", "tan", "Tan x", "\xC3"}) {
    CHECK(FindSpan(document, none).empty());
  }
  CHECK(FindSpan("xe\u0301", "e").empty());
  SpanOptions words;
  words.whole_words = true;
  CHECK_EQUAL(1u, FindSpan("12 123 1,12", "12", words).size());
}

TEST(Spans, AreFoundAgainOverDifferingWhiteSpace) {
  SpanOptions fuzzy;
  fuzzy.fuzzy_space = true;
  const std::string document = "a  b\n c a b a\u00A0b a  b\nc";
  const auto slices = [&](const char* value) {
    std::vector<std::string> out;
    for (const auto& p : FindSpan(document, value, fuzzy)) {
      out.push_back(document.substr(p.begin, p.end - p.begin));
    }
    return out;
  };
  CHECK(slices("a b") == (std::vector<std::string>{"a  b", "a b", "a\u00A0b", "a  b"}));
  CHECK(slices("a  b") == (std::vector<std::string>{"a  b", "a  b"}));
  CHECK(slices("a b c") == (std::vector<std::string>{"a  b\n c", "a  b\nc"}));
  CHECK(slices("a  b\nc") == (std::vector<std::string>{"a  b\nc"}));
  CHECK(slices("a   b").empty());
  CHECK(slices("a\tb").empty());
  CHECK(slices("ab").empty());
}

TEST(Spans, MeetALanguageInTheSpansThatAreOfIt) {
  std::mt19937 random(8);
  const std::string letters[] = {"1", "23", ",", ".", " ", "-", "%", "x", "45", "\n", "/", "MAR"};
  size_t found = 0, never = 0;
  for (int round = 0; round < 150; ++round) {
    SpanOptions options;
    options.fuzzy_space = round % 2 == 0;
    options.whole_words = round % 3 == 0;
    const std::string document = RandomDocument(random, letters, random() % 16);
    const auto spans = Spans(document, options);
    Terms terms;
    const Term pattern = round % 4 == 0 ? DatePattern(terms) : NumberPattern(terms);
    const Term both = terms.And(SpanTerm(terms, spans), pattern);
    CHECK_OK(terms.Seal());
    Strings expected;
    for (const auto& s : Expected(document, options)) {
      if (terms.Nullable(terms.Derive(pattern, s))) expected.insert(s);
    }
    found += expected.size();
    never += both == kNever ? 1 : 0;
    CHECK_EQUAL(expected.empty(), both == kNever);
    Strings written;
    std::vector<std::pair<Term, std::string>> open;
    if (both != kNever) open.emplace_back(both, "");
    while (!open.empty()) {
      const auto [state, text] = open.back();
      open.pop_back();
      if (terms.Nullable(state)) written.insert(text);
      const ByteSet first = terms.First(state);
      CHECK(terms.Nullable(state) || !first.empty());
      bool nearer = terms.Nullable(state);
      for (unsigned b = 0; b < 256; ++b) {
        const auto byte = static_cast<uint8_t>(b);
        const Term next = terms.Derive(state, byte);
        CHECK_EQUAL(next != kNever, first.Has(byte));
        if (next == kNever) continue;
        nearer |= terms.Cost(next) < terms.Cost(state);
        open.emplace_back(next, text + static_cast<char>(byte));
      }
      CHECK(nearer);
    }
    CheckSame(expected, written, document);
    CHECK_OK(terms.status());
  }
  CHECK(found > 300);
  CHECK(never > 5);
}

// --- an adversarial model ---

namespace {

// Whether `value` stands in `document` with one space for some of its runs of white space, found by
// trying every place: what FindSpan and the automaton are held against.
bool MatchesFuzzily(std::string_view document, size_t at, std::string_view value, size_t* end) {
  size_t v = 0;
  while (v < value.size()) {
    const auto width = [](std::string_view text, size_t from) {
      size_t to = from;
      while (to < text.size()) {
        const text::CodePoint c = text::DecodeUtf8(text, to);
        if (!text::IsWhiteSpace(c.value)) break;
        to += c.length;
      }
      return to - from;
    };
    const size_t run = width(value, v), there = width(document, at);
    if (run == 0) {
      if (at >= document.size() || document[at++] != value[v++]) return false;
      continue;
    }
    const std::string_view written = value.substr(v, run);
    if (there == 0 || (written != " " && written != document.substr(at, there))) return false;
    v += run;
    at += there;
  }
  *end = at;
  return true;
}

std::vector<std::string> HostileDocuments() {
  std::vector<std::string> documents = {
      "a",
      "\u00E9",
      "He said \"no\\yes\" \\ \\\\ \"\"\r\nand\tleft\f.\b",
      std::string("nul\0nul\0\0x", 10),
      "caf\u00E9 cafe\u0301 \u00E9\u00E9 \u00C3\u00A9",
      "\U0001F600\U0001F600 \U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA",
      "a  b\r\n\r\n c\u00A0\u3000d \t e   ",
      "the cat the cat the cat the can",
      "{\"total\": \"9.00\", \"x\": \"\\u0041\"}",
      "\u202Eright to left\u202C \uFEFFmark",
      "TOTAL:  RM9.00\nCASH  10.00\nCHANGE  1.00\nDATE:  25/12/2018 8:13:39 PM",
  };
  std::string every;
  for (char32_t c = 0; c < 0x300; ++c) text::AppendUtf8(c, every);
  documents.push_back(every);
  documents.push_back(std::string(100'000, 'a'));
  std::string lines;
  for (int i = 0; i < 300; ++i) lines += "item  1.00\n";
  documents.push_back(lines);
  return documents;
}

}  // namespace

TEST(Spans, WithstandAModelThatWantsToWriteAnythingElse) {
  std::mt19937 random(5);
  const std::vector<std::string> documents = HostileDocuments();
  std::vector<std::string> pieces;  // tokens: of other documents, of halves of characters, of JSON
  for (int i = 0; i < 500; ++i) {
    const std::string from = JsonContent(documents[random() % documents.size()]);
    const size_t at = random() % from.size();
    pieces.push_back(from.substr(at, 1 + random() % 6));
  }
  for (const char* piece : {"\"", "\",", "\"}", "\\", "\\u", "\\u0041", "0", " ", "  ", "\\n", "\n",
                            "invented", "e", "\xCC", "\x81", "\xC3", "\xA9", "\xF0\x9F", "."}) {
    pieces.push_back(piece);
  }
  size_t finished = 0, without = 0;
  for (const std::string& document : documents) {
    for (int round = 0; round < 60; ++round) {
      SpanOptions options;
      options.fuzzy_space = round % 2 == 1;
      options.whole_words = round % 3 == 1;
      options.max_characters = round % 5 == 0 ? 7 : 1000;
      const auto spans = Spans(document, options);
      if (spans->empty()) {  // 100 kB that are one word
        CHECK(options.whole_words);
        ++without;
        continue;
      }
      Terms terms;
      const Term value_term = JsonString(terms, SpanTerm(terms, spans));
      CHECK_OK(terms.Seal());
      Term state = value_term;
      std::string answer;
      const size_t patience = random() % 60;
      // It writes whatever piece is allowed, those that are not in the document first; where none
      // is, the byte that leads farthest from an end.
      while (!terms.Nullable(state)) {
        Term next = kNever;
        std::string piece;
        for (int tries = 0; tries < 30 && next == kNever; ++tries) {
          piece = pieces[random() % pieces.size()];
          if (tries < 15 && document.find(piece) != std::string::npos) continue;
          if (answer.size() < patience && piece[0] == '"' && answer.size() > 1) continue;
          next = terms.Derive(state, piece);
        }
        if (next == kNever) {
          const ByteSet first = terms.First(state);
          CHECK_FALSE(first.empty());  // never a dead end
          uint32_t worst = 0;
          for (unsigned b = 0; b < 256; ++b) {
            const uint8_t byte = static_cast<uint8_t>(b);
            if (!first.Has(byte)) continue;
            if (byte == '"' && answer.size() < patience && first.Count() > 1) continue;
            const Term there = terms.Derive(state, byte);
            CHECK(there != kNever);
            if (next == kNever || terms.Cost(there) > worst ||
                (terms.Cost(there) == worst && random() % 2 == 0)) {
              worst = terms.Cost(there);
              next = there;
              piece.assign(1, static_cast<char>(byte));
            }
          }
        }
        answer += piece;
        state = next;
      }
      CHECK_OK(terms.status());
      CHECK_OK(spans->status());
      ++finished;

      const auto parsed = nlohmann::json::parse(answer, nullptr, false);
      CHECK(parsed.is_string());
      const std::string value = parsed.get<std::string>();
      CHECK(JsonQuote(value) == answer);
      const auto places = FindSpan(document, value, options);
      CHECK_FALSE(places.empty());
      if (!options.fuzzy_space) CHECK(document.find(value) != std::string::npos);
      const size_t shown = std::min<size_t>(places.size(), 50);
      for (size_t i = 0; i < shown; ++i) {
        const SpanPlace& p = places[i];
        if (options.fuzzy_space) {
          size_t end = 0;
          CHECK(MatchesFuzzily(document, p.begin, value, &end));
          CHECK_EQUAL(end, p.end);
        } else {
          CHECK(document.substr(p.begin, p.end - p.begin) == value);
        }
        if (i > 0) CHECK(places[i - 1].begin < p.begin);
      }
      // None is left out: a search that knows nothing of spans finds no more but for the cuts.
      if (!options.fuzzy_space && !options.whole_words &&
          document.find("\u0301") == document.npos && document.find("\u200D") == document.npos &&
          document.find('\r') == document.npos) {
        size_t count = 0;
        for (size_t at = document.find(value); at != document.npos;
             at = document.find(value, at + 1)) {
          ++count;
        }
        CHECK_EQUAL(count, places.size());
      }
    }
  }
  CHECK_EQUAL(20u, without);
  CHECK_EQUAL(60 * documents.size() - without, finished);
}
