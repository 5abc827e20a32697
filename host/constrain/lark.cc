#include "constrain/lark.h"

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "constrain/chars.h"
#include "constrain/grammar_source.h"
#include "constrain/regex.h"
#include "text/utf8.h"

namespace minnow::constrain {
namespace {

using Alternative = GrammarSource::Alternative;

constexpr uint32_t kMaxIgnoredBytes = 64;

struct CommonTerminal {
  std::string_view name;
  const char* pattern;
};
constexpr CommonTerminal kCommon[] = {
    {"DIGIT", "[0-9]"},
    {"HEXDIGIT", "[0-9a-fA-F]"},
    {"INT", "[0-9]+"},
    {"SIGNED_INT", "[+-]?[0-9]+"},
    {"DECIMAL", R"([0-9]+\.[0-9]*|\.[0-9]+)"},
    {"FLOAT", R"([0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?)"},
    {"SIGNED_FLOAT", R"([+-]?([0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?))"},
    {"NUMBER", R"(([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)"},
    {"SIGNED_NUMBER", R"([+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)"},
    {"LCASE_LETTER", "[a-z]"},
    {"UCASE_LETTER", "[A-Z]"},
    {"LETTER", "[a-zA-Z]"},
    {"WORD", "[a-zA-Z]+"},
    {"CNAME", "[a-zA-Z_][a-zA-Z0-9_]*"},
    {"ESCAPED_STRING", R"("([^"\\\n]|\\[^\n])*")"},
    {"WS_INLINE", R"([ \t]+)"},
    {"WS", R"([ \t\f\r\n]+)"},
    {"CR", R"(\r)"},
    {"LF", R"(\n)"},
    {"NEWLINE", R"((\r?\n)+)"},
    {"SH_COMMENT", R"(#[^\n]*)"},
    {"CPP_COMMENT", R"(//[^\n]*)"},
    {"SQL_COMMENT", R"(--[^\n]*)"},
    {"C_COMMENT", R"(/\*([^*]|\*+[^*/])*\*+/)"},
};

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}
bool IsTerminalName(std::string_view name) {
  const size_t letter = name.find_first_not_of('_');
  return letter != name.npos && name[letter] >= 'A' && name[letter] <= 'Z';
}

// What is read before it is known which names are defined where.
struct Expression {
  enum class Kind { kTerm, kName, kSequence, kChoice, kRepeat };
  Kind kind;
  size_t offset = 0;
  Term term = kEmpty;          // kTerm
  std::string_view name = {};  // kName
  std::vector<uint32_t> parts = {};
  uint32_t min = 0, max = 0;
};

struct Definition {
  std::string_view name;
  size_t offset;
  uint32_t body;
};

class Reader {
 public:
  Reader(Terms& terms, std::string_view grammar) : terms_(terms), source_(terms, grammar) {}

  Result<Term> Read() {
    MNW_TRY(source_.CheckText());
    SkipSpace(true);
    while (source_.More()) {
      if (source_.Peek() == '%') {
        MNW_TRY(Directive());
      } else {
        MNW_TRY(Define());
      }
      SkipSpace(false);
      if (source_.More() && source_.Peek() != '\n' && source_.Peek() != '\r') {
        return source_.Bad(source_.at(), "the end of the line or `|` belongs here");
      }
      SkipSpace(true);
    }
    return Compile();
  }

 private:
  // --- reading ---

  void SkipSpace(bool lines_too) {
    for (;;) {
      const char c = source_.Peek();
      if (c == '#' || source_.Ahead("//")) {
        source_.SkipLine();
      } else if (source_.More() &&
                 (c == ' ' || c == '\t' || (lines_too && (c == '\n' || c == '\r')))) {
        source_.Move(source_.at() + 1);
      } else {
        return;
      }
    }
  }

  std::string_view Name() {
    const size_t start = source_.at();
    while (source_.More() && IsNameCharacter(source_.Peek())) source_.Move(source_.at() + 1);
    return source_.From(start);
  }

  uint32_t Add(Expression e) {
    expressions_.push_back(std::move(e));
    return static_cast<uint32_t>(expressions_.size() - 1);
  }

  Status Define() {
    const size_t start = source_.at();
    while (source_.Peek() == '?' || source_.Peek() == '!') source_.Move(source_.at() + 1);
    const size_t offset = source_.at();
    const std::string_view name = Name();
    if (name.find_first_not_of("_0123456789") == name.npos) {
      return source_.Bad(start, "a rule begins with its name, as in `start: ...`");
    }
    if (source_.Peek() == '{') {
      return source_.Refuse(source_.at(),
                            "templates of rules are not supported: write '{}' once "
                            "for each of its arguments",
                            Shortened(name));
    }
    if (source_.Take(".")) {
      source_.Take("-");
      if (!source_.TakeNumber()) {
        return source_.Bad(source_.at(), "a number belongs after the dot: a priority");
      }
    }
    SkipSpace(false);
    if (!source_.Take(":")) {
      return source_.Bad(source_.at(), "`:` belongs after the name '{}'", Shortened(name));
    }
    MNW_ASSIGN(const uint32_t body, Choice(0));
    return Keep({name, offset, body});
  }

  Status Keep(const Definition& definition) {
    if (!IsTerminalName(definition.name)) {
      rules_.push_back(definition);
      return Status();
    }
    const auto [old, fresh] = terminals_.try_emplace(definition.name, Terminal{definition});
    if (fresh) return Status();
    return source_.Bad(definition.offset, "terminal '{}' is defined at {} already",
                       Shortened(definition.name), source_.Place(old->second.definition.offset));
  }

  Status Directive() {
    const size_t start = source_.at();
    source_.Move(start + 1);
    const std::string_view what = Name();
    SkipSpace(false);
    if (what == "ignore") {
      MNW_ASSIGN(const uint32_t body, Choice(0));
      ignored_.push_back(body);
      return Status();
    }
    if (what == "import") return Import();
    return source_.Refuse(start,
                          "%{} is not supported: of the directives there are %import common "
                          "and %ignore",
                          Shortened(what));
  }

  // common.X, common.X -> Y, common (X, Y)
  Status Import() {
    const size_t start = source_.at();
    if (Name() != "common") {
      return source_.Refuse(start,
                            "only `common` can be imported from: write the rules of others "
                            "into this grammar");
    }
    if (source_.Take(".")) {
      const size_t offset = source_.at();
      const std::string_view name = Name();
      std::string_view as = name;
      SkipSpace(false);
      if (source_.Take("->")) {
        SkipSpace(false);
        as = Name();
      }
      return ImportOne(name, as, offset);
    }
    SkipSpace(false);
    if (!source_.Take("(")) {
      return source_.Bad(source_.at(), "write `%import common.WS` or `%import common (WS, INT)`");
    }
    do {
      SkipSpace(true);
      const size_t offset = source_.at();
      const std::string_view name = Name();
      MNW_TRY(ImportOne(name, name, offset));
      SkipSpace(true);
    } while (source_.Take(","));
    if (!source_.Take(")")) return source_.Bad(source_.at(), "`,` or `)` belongs here");
    return Status();
  }

  Status ImportOne(std::string_view name, std::string_view as, size_t offset) {
    const auto* const found = std::find_if(std::begin(kCommon), std::end(kCommon),
                                           [&](const auto& c) { return c.name == name; });
    if (found == std::end(kCommon)) {
      return source_.Refuse(offset, "`common` has no terminal '{}' here", Shortened(name));
    }
    if (!IsTerminalName(as)) {
      return source_.Bad(offset, "a terminal's name has upper-case letters: not '{}'",
                         Shortened(as));
    }
    MNW_ASSIGN(const Term term, CompileRegex(terms_, found->pattern, WriteRaw));
    return Keep({as, offset, Add({.kind = Expression::Kind::kTerm, .term = term})});
  }

  // Inside brackets from depth 1 on.
  Result<uint32_t> Choice(size_t depth) {
    Expression choice{.kind = Expression::Kind::kChoice, .offset = source_.at()};
    for (;;) {
      SkipSpace(depth > 0);
      MNW_ASSIGN(choice.parts.emplace_back(), Sequence(depth));
      MNW_TRY(terms_.status());
      if (source_.Take("->")) {
        SkipSpace(false);
        const size_t at = source_.at();
        if (Name().empty()) return source_.Bad(at, "a name belongs after `->`");
      }
      const size_t end = source_.at();
      SkipSpace(true);
      if (!source_.Take("|")) {
        source_.Move(end);
        break;
      }
    }
    return choice.parts.size() == 1 ? choice.parts[0] : Add(std::move(choice));
  }

  Result<uint32_t> Sequence(size_t depth) {
    Expression sequence{.kind = Expression::Kind::kSequence, .offset = source_.at()};
    for (;;) {
      const size_t start = source_.at();
      MNW_ASSIGN(const std::optional<uint32_t> item, Item(depth));
      if (!item) break;
      SkipSpace(depth > 0);
      MNW_ASSIGN(sequence.parts.emplace_back(), Repeated(*item, start));
      SkipSpace(depth > 0);
    }
    return sequence.parts.size() == 1 ? sequence.parts[0] : Add(std::move(sequence));
  }

  Result<uint32_t> Repeated(uint32_t item, size_t start) {
    const size_t offset = source_.at();
    Expression repeat{.kind = Expression::Kind::kRepeat, .offset = start, .parts = {item}};
    repeat.max = kUnbounded;
    if (source_.Take("*")) {
    } else if (source_.Take("+")) {
      repeat.min = 1;
    } else if (source_.Take("?")) {
      repeat.max = 1;
    } else if (source_.Take("~")) {
      SkipSpace(false);
      const auto min = source_.TakeNumber();
      SkipSpace(false);
      auto max = min;
      if (source_.Take("..")) {
        SkipSpace(false);
        max = source_.TakeNumber();
      }
      if (!min || !max) return source_.Bad(offset, "a repetition is ~ n or ~ n..m");
      // Of the numbers only: what is repeated is not known yet.
      MNW_TRY(source_.Repeat(kEmpty, *min, *max, offset).status());
      repeat.min = *min;
      repeat.max = *max;
    } else {
      return item;
    }
    return Add(std::move(repeat));
  }

  Result<std::optional<uint32_t>> Item(size_t depth) {
    using Maybe = std::optional<uint32_t>;
    const size_t start = source_.at();
    if (!source_.More()) return Maybe();
    switch (const char c = source_.Peek()) {
      case '(':
      case '[': {
        if (depth >= kMaxGroupNesting) {
          return source_.Bad(start, "more than {} groups in groups", kMaxGroupNesting);
        }
        source_.Move(start + 1);
        MNW_ASSIGN(const uint32_t inside, Choice(depth + 1));
        SkipSpace(true);
        const std::string_view close = c == '(' ? ")" : "]";
        if (!source_.Take(close)) {
          return source_.Bad(source_.at(), "`{}` belongs here, for the group that begins at {}",
                             close, source_.Place(start));
        }
        if (c == '(') return Maybe(inside);
        return Maybe(
            Add({.kind = Expression::Kind::kRepeat, .offset = start, .parts = {inside}, .max = 1}));
      }
      case '"':
        return String();
      case '/':
        return Pattern();
      case '*':
      case '+':
      case '~':
        return source_.Bad(start, "there is nothing to repeat before `{}`", c);
      default:
        break;
    }
    const std::string_view name = Name();
    if (name.empty()) return Maybe();
    if (source_.Peek() == '{') {
      return source_.Refuse(start,
                            "templates of rules are not supported: write '{}' once for each "
                            "of its arguments",
                            Shortened(name));
    }
    return Maybe(Add({.kind = Expression::Kind::kName, .offset = start, .name = name}));
  }

  Result<std::u32string> Quoted() {
    const size_t start = source_.at();
    source_.Move(start + 1);
    std::u32string text;
    while (!source_.Take("\"")) {
      if (!source_.More() || source_.Peek() == '\n') {
        return source_.Bad(start, "this string does not end in its line: `\"` is missing");
      }
      const size_t at = source_.at();
      if (!source_.Take("\\")) {
        text += source_.TakeCharacter();
      } else if (source_.Take("f")) {
        text += U'\f';
      } else if (source_.Take("v")) {
        text += U'\v';
      } else {
        MNW_ASSIGN(const char32_t c, source_.TakeEscape(at, "\"\\'/"));
        text += c;
      }
    }
    return text;
  }

  Result<std::optional<uint32_t>> String() {
    const size_t start = source_.at();
    MNW_ASSIGN(const std::u32string text, Quoted());
    const bool ignore_case = source_.Peek() == 'i' && !IsNameCharacter(source_.Peek(1));
    if (ignore_case) source_.Move(source_.at() + 1);
    const auto one = [&](Term t) {
      return std::optional<uint32_t>(
          Add({.kind = Expression::Kind::kTerm, .offset = start, .term = t}));
    };
    if (source_.Take("..")) {
      if (source_.Peek() != '"' || text.size() != 1 || ignore_case) {
        return source_.Bad(start, "a range goes from one character to another: \"a\"..\"z\"");
      }
      MNW_ASSIGN(const std::u32string last, Quoted());
      if (last.size() != 1 || last[0] < text[0]) {
        return source_.Bad(start, "the range {} holds no character", source_.From(start));
      }
      const CharRange range = {text[0], last[0]};
      return one(terms_.Chars(std::span<const CharRange>(&range, 1)));
    }
    if (ignore_case) {
      std::vector<Term> characters;
      for (const char32_t c : text) {
        const auto [known, fresh] = any_case_.try_emplace(c, kNever);
        if (fresh) {
          const CharSet set = CharSet({{c, c}}).WithOtherCases();
          known->second = terms_.Chars(set.ranges());
        }
        characters.push_back(known->second);
      }
      return one(terms_.Concat(characters));
    }
    std::string bytes;
    for (const char32_t c : text) text::AppendUtf8(c, bytes);
    return one(terms_.Literal(bytes));
  }

  Result<std::optional<uint32_t>> Pattern() {
    const size_t start = source_.at();
    source_.Move(start + 1);
    while (source_.More() && source_.Peek() != '/' && source_.Peek() != '\n') {
      if (source_.Take("\\") && (!source_.More() || source_.Peek() == '\n')) break;
      source_.TakeCharacter();
    }
    const std::string_view pattern = source_.From(start).substr(1);
    if (!source_.Take("/")) {
      return source_.Bad(start, "this pattern does not end in its line: `/` is missing");
    }
    RegexOptions options;
    const size_t flags_at = source_.at();
    for (const char flag : Name()) {
      if (flag == 'i') {
        options.ignore_case = true;
      } else if (flag == 's') {
        options.dot_all = true;
      } else if (flag != 'u') {
        return source_.Refuse(flags_at, "the flags of a pattern are i and s, not {}", flag);
      }
    }
    options.ranges_left = &ranges_left_;
    // The same pattern is often written at several places.
    const auto [known, fresh] = patterns_.try_emplace(source_.From(start), kNever);
    if (fresh) {
      auto term = CompileRegex(terms_, pattern, WriteRaw, options);
      if (!term.ok()) {
        return std::move(term).status().Annotate(source_.Place(start) + ", in this pattern");
      }
      known->second = *term;
    }
    return std::optional<uint32_t>(
        Add({.kind = Expression::Kind::kTerm, .offset = start, .term = known->second}));
  }

  // --- compiling ---

  struct Terminal {
    Definition definition;
    enum class State { kNew, kBegun, kDone } state = State::kNew;
    Term term = kNever;
  };

  Result<Term> Compile() {
    if (!ignored_.empty()) {
      std::vector<Term> ignored;
      for (const uint32_t body : ignored_) {
        MNW_ASSIGN(ignored.emplace_back(), Compiled(body, true, 0));
      }
      MNW_ASSIGN(const Term few, source_.Repeat(terms_.Bytes(~ByteSet()), 0, kMaxIgnoredBytes, 0));
      space_ = terms_.And(terms_.Repeat(terms_.Or(ignored), 0, kUnbounded), few);
    }
    // Those that no rule uses too: what is wrong in them is said now.
    for (auto& [name, terminal] : terminals_) MNW_TRY(TerminalTerm(terminal, 0).status());
    for (const Definition& rule : rules_) {
      std::vector<Alternative> body;
      const Expression& e = expressions_[rule.body];
      if (e.kind == Expression::Kind::kChoice) {
        for (const uint32_t part : e.parts) {
          MNW_ASSIGN(body.emplace_back(), CompiledAlternative(part));
        }
      } else {
        MNW_ASSIGN(body.emplace_back(), CompiledAlternative(rule.body));
      }
      MNW_TRY(source_.Define(rule.name, rule.offset, body));
    }
    MNW_ASSIGN(const Term start, source_.Finish("start"));
    return terms_.Concat(space_, start);
  }

  Result<Alternative> CompiledAlternative(uint32_t index) {
    const Expression& e = expressions_[index];
    Alternative out;
    if (e.kind != Expression::Kind::kSequence) {
      MNW_ASSIGN(out.first, Compiled(index, false, 0));
      return out;
    }
    std::vector<Term> parts;
    for (const uint32_t part : e.parts) {
      MNW_ASSIGN(parts.emplace_back(), Compiled(part, false, 0));
    }
    if (parts.empty()) return out;
    out.first = parts[0];
    out.rest = terms_.Concat(std::span<const Term>(parts).subspan(1));
    return out;
  }

  Result<Term> TerminalTerm(Terminal& terminal, size_t depth) {
    if (terminal.state == Terminal::State::kDone) return terminal.term;
    if (terminal.state == Terminal::State::kBegun) {
      return source_.Bad(terminal.definition.offset,
                         "terminal '{}' uses itself: only rules, in lower case, may",
                         Shortened(terminal.definition.name));
    }
    terminal.state = Terminal::State::kBegun;
    MNW_ASSIGN(terminal.term, Compiled(terminal.definition.body, true, depth + 1));
    terminal.state = Terminal::State::kDone;
    return terminal.term;
  }

  // Of a terminal, or of a rule, where what is ignored follows every terminal.
  Result<Term> Compiled(uint32_t index, bool in_terminal, size_t depth) {
    const Expression& e = expressions_[index];
    if (depth > 4 * kMaxGroupNesting) {
      return source_.Bad(e.offset, "this is nested too deep: make it flatter");
    }
    switch (e.kind) {
      case Expression::Kind::kTerm:
        return in_terminal ? e.term : terms_.Concat(e.term, space_);
      case Expression::Kind::kName: {
        if (!IsTerminalName(e.name)) {
          if (!in_terminal) return source_.Mention(e.name, e.offset);
          return source_.Bad(e.offset, "rule '{}' cannot be used in a terminal", Shortened(e.name));
        }
        const auto found = terminals_.find(e.name);
        if (found == terminals_.end()) {
          return source_.Bad(e.offset, "terminal '{}' is defined nowhere", Shortened(e.name));
        }
        MNW_ASSIGN(const Term term, TerminalTerm(found->second, depth));
        return in_terminal ? term : terms_.Concat(term, space_);
      }
      case Expression::Kind::kRepeat: {
        MNW_ASSIGN(const Term part, Compiled(e.parts[0], in_terminal, depth + 1));
        return terms_.Repeat(part, e.min, e.max);
      }
      case Expression::Kind::kSequence:
      case Expression::Kind::kChoice:
        break;
    }
    std::vector<Term> parts;
    for (const uint32_t part : e.parts) {
      MNW_ASSIGN(parts.emplace_back(), Compiled(part, in_terminal, depth + 1));
    }
    return e.kind == Expression::Kind::kChoice ? terms_.Or(parts) : terms_.Concat(parts);
  }

  Terms& terms_;
  GrammarSource source_;
  std::vector<Expression> expressions_;
  std::vector<Definition> rules_;
  std::unordered_map<std::string_view, Terminal> terminals_;
  std::vector<uint32_t> ignored_;
  std::unordered_map<std::string_view, Term> patterns_;  // with their slashes and flags
  std::unordered_map<char32_t, Term> any_case_;
  size_t ranges_left_ = kMaxRanges;
  Term space_ = kEmpty;
};

}  // namespace

Result<Term> CompileLark(Terms& terms, std::string_view grammar) {
  return Reader(terms, grammar).Read();
}

}  // namespace minnow::constrain
