#include "constrain/gbnf.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "constrain/chars.h"
#include "constrain/grammar_source.h"
#include "text/utf8.h"

namespace minnow::constrain {
namespace {

using Alternative = GrammarSource::Alternative;

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class Reader {
 public:
  Reader(Terms& terms, std::string_view grammar) : terms_(terms), source_(terms, grammar) {}

  Result<Term> Read() {
    MNW_TRY(source_.CheckText());
    SkipSpace(true);
    while (source_.More()) {
      MNW_TRY(Rule());
      SkipSpace(true);
    }
    return source_.Finish("root");
  }

 private:
  void SkipSpace(bool lines_too) {
    for (;;) {
      const char c = source_.Peek();
      if (c == '#') {
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

  Status Rule() {
    const size_t start = source_.at();
    const std::string_view name = Name();
    if (name.empty())
      return source_.Bad(start, "a rule begins with its name, as in `root ::= ...`");
    SkipSpace(false);
    if (!source_.Take("::=")) {
      return source_.Bad(source_.at(),
                         "`::=` belongs after the name '{}'; a rule goes on in the "
                         "next line only in parentheses or with `|`",
                         Shortened(name));
    }
    SkipSpace(true);
    std::vector<Alternative> body;
    MNW_TRY(Alternatives(0, &body));
    if (source_.More() && source_.Peek() != '\n' && source_.Peek() != '\r') {
      return source_.Bad(source_.at(), "the end of the rule, `|` or more of it belongs here");
    }
    return source_.Define(name, start, body);
  }

  // Inside parentheses from depth 1 on.
  Status Alternatives(size_t depth, std::vector<Alternative>* out) {
    for (;;) {
      MNW_ASSIGN(out->emplace_back(), Sequence(depth));
      MNW_TRY(terms_.status());
      const size_t end = source_.at();
      SkipSpace(true);
      if (!source_.Take("|")) {
        source_.Move(end);
        return Status();
      }
      SkipSpace(true);
    }
  }

  Result<Alternative> Sequence(size_t depth) {
    std::vector<Term> items;
    for (;;) {
      MNW_ASSIGN(std::optional<Term> item, Item(depth));
      if (!item) break;
      SkipSpace(depth > 0);
      MNW_ASSIGN(const Term repeated, Repeated(*item));
      items.push_back(repeated);
      SkipSpace(depth > 0);
    }
    if (items.empty()) return Alternative();
    return Alternative{items[0], terms_.Concat(std::span<const Term>(items).subspan(1))};
  }

  Result<std::optional<Term>> Item(size_t depth) {
    using Maybe = std::optional<Term>;
    const size_t start = source_.at();
    if (!source_.More()) return Maybe();
    switch (source_.Peek()) {
      case '"':
        return Literal();
      case '[':
        return Class();
      case '(': {
        if (depth >= kMaxGroupNesting) {
          return source_.Bad(start, "more than {} groups in groups", kMaxGroupNesting);
        }
        source_.Move(start + 1);
        SkipSpace(true);
        std::vector<Alternative> inside;
        MNW_TRY(Alternatives(depth + 1, &inside));
        SkipSpace(true);
        if (!source_.Take(")")) {
          return source_.Bad(source_.at(), "`)` belongs here, for the group that begins at {}",
                             source_.Place(start));
        }
        std::vector<Term> terms;
        for (const Alternative& a : inside) terms.push_back(terms_.Concat(a.first, a.rest));
        return Maybe(terms_.Or(terms));
      }
      case '.': {
        source_.Move(start + 1);
        const CharSet all = CharSet::All();
        return Maybe(terms_.Chars(all.ranges()));
      }
      case '<':
      case '!':
        return source_.Refuse(start,
                              "tokens by number or name cannot be used: write the text, as "
                              "a literal");
      case '*':
      case '+':
      case '?':
      case '{':
        return source_.Bad(start, "there is nothing to repeat before `{}`", source_.Peek());
      default:
        break;
    }
    const std::string_view name = Name();
    if (name.empty()) return Maybe();
    return Maybe(source_.Mention(name, start));
  }

  Result<Term> Repeated(Term item) {
    for (;; SkipSpace(false)) {
      const size_t start = source_.at();
      uint32_t min = 0, max = kUnbounded;
      if (source_.Take("*")) {
      } else if (source_.Take("+")) {
        min = 1;
      } else if (source_.Take("?")) {
        max = 1;
      } else if (source_.Take("{")) {
        SkipSpace(false);
        const auto from = source_.TakeNumber();
        SkipSpace(false);
        std::optional<uint32_t> to = from;
        if (source_.Take(",")) {
          SkipSpace(false);
          to = source_.TakeNumber();
          SkipSpace(false);
        }
        if (!from || !source_.Take("}")) {
          return source_.Bad(start, "a repetition is {{m}}, {{m,}} or {{m,n}}");
        }
        min = *from;
        max = to.value_or(kUnbounded);
      } else {
        return item;
      }
      MNW_ASSIGN(item, source_.Repeat(item, min, max, start));
    }
  }

  Result<char32_t> Character() {
    const size_t start = source_.at();
    if (source_.Take("\\")) return source_.TakeEscape(start, "\"\\[]-^");
    return source_.TakeCharacter();
  }

  Result<std::optional<Term>> Literal() {
    const size_t start = source_.at();
    source_.Move(start + 1);
    std::string text;
    while (!source_.Take("\"")) {
      if (!source_.More()) return source_.Bad(start, "this literal does not end: `\"` is missing");
      MNW_ASSIGN(const char32_t c, Character());
      text::AppendUtf8(c, text);
    }
    return std::optional<Term>(terms_.Literal(text));
  }

  Result<std::optional<Term>> Class() {
    const size_t start = source_.at();
    source_.Move(start + 1);
    const bool negated = source_.Take("^");
    std::vector<CharRange> ranges;
    while (!source_.Take("]")) {
      if (!source_.More()) return source_.Bad(start, "this class does not end: `]` is missing");
      const size_t first_at = source_.at();
      MNW_ASSIGN(const char32_t first, Character());
      char32_t last = first;
      if (source_.Peek() == '-' && source_.Peek(1) != ']') {
        source_.Move(source_.at() + 1);
        if (!source_.More()) continue;
        MNW_ASSIGN(last, Character());
      }
      if (last < first) {
        return source_.Bad(first_at, "the range {} ends before it begins", source_.From(first_at));
      }
      ranges.push_back({first, last});
    }
    if (ranges.empty() && !negated) return source_.Bad(start, "a class without characters");
    const CharSet set(std::move(ranges));
    const CharSet written = negated ? set.Complement() : set;
    return std::optional<Term>(terms_.Chars(written.ranges()));
  }

  Terms& terms_;
  GrammarSource source_;
};

}  // namespace

Result<Term> CompileGbnf(Terms& terms, std::string_view grammar) {
  return Reader(terms, grammar).Read();
}

}  // namespace minnow::constrain
