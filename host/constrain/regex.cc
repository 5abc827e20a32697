#include "constrain/regex.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "constrain/chars.h"
#include "text/utf8.h"

namespace minnow::constrain {
namespace {

constexpr size_t kMaxNesting = 200;
constexpr size_t kMaxProperties = 16;  // different ones
constexpr size_t kMaxChoices = 1'000;  // of places for anchors

// What a part of a pattern matches, by where the match stands: bit 0 of the index, at the beginning
// of the text; bit 1, at its end. The assertions ^ and $ are the only ones, so a place at an edge
// never takes a string away: at[0] is part of at[1] and of at[2], and these of at[3].
struct Piece {
  std::array<Term, 4> at;
  bool uses_begin = false, uses_end = false;
  bool plain() const { return !uses_begin && !uses_end; }
};

Piece Plain(Term t) { return {{t, t, t, t}}; }

class Compiler {
 public:
  Compiler(Terms& terms, std::string_view pattern, const CharWriter& write,
           const RegexOptions& options)
      : terms_(terms),
        pattern_(pattern),
        write_(write),
        ignore_case_(options.ignore_case),
        dot_all_(options.dot_all),
        ranges_left_(options.ranges_left ? options.ranges_left : &own_ranges_left_) {}

  Result<Term> Compile(bool search) {
    if (pattern_.size() > kMaxPatternBytes) {
      return Error(Code::kInvalid, "a pattern of {} bytes is too long: at most {}", pattern_.size(),
                   kMaxPatternBytes);
    }
    const size_t well_formed = text::WellFormedLength(pattern_, 0);
    if (well_formed != pattern_.size()) return Bad(well_formed, "this is not UTF-8");
    MNW_ASSIGN(const Piece piece, Alternatives(0));
    if (at_ != pattern_.size()) return Bad(at_, "this `)` closes no group: write `\\)`");
    if (!search) return Checked(piece.at[3]);

    MNW_ASSIGN(const Term character, Written(CharSet::All()));
    const Term any = terms_.Repeat(character, 0, kUnbounded);
    // What matches the empty string somewhere is found in every text.
    if (std::any_of(piece.at.begin(), piece.at.begin() + 3,
                    [&](Term t) { return terms_.Nullable(t); })) {
      return Checked(any);
    }
    std::vector<Term> all = {Join({any, terms_.TrimBegin(terms_.TrimEnd(piece.at[0])), any})};
    if (piece.uses_begin) all.push_back(Join({terms_.TrimEnd(piece.at[1]), any}));
    if (piece.uses_end) all.push_back(Join({any, terms_.TrimBegin(piece.at[2])}));
    if (!piece.plain()) all.push_back(piece.at[3]);
    return Checked(terms_.Or(all));
  }

 private:
  struct Count {
    uint32_t min, max;
  };

  template <class... Args>
  Status Bad(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(Code::kInvalid, "offset {}: {}", offset,
                 fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  Status Refuse(size_t offset, fmt::format_string<Args...> format, Args&&... args) const {
    return Error(Code::kUnsupported, "offset {}: {}", offset,
                 fmt::format(format, std::forward<Args>(args)...));
  }
  Result<Term> Checked(Term t) const {
    MNW_TRY(terms_.status());
    return t;
  }

  bool More() const { return at_ < pattern_.size(); }
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  bool Ahead(std::string_view text) const { return pattern_.substr(at_, text.size()) == text; }
  bool Take(std::string_view text) {
    if (!Ahead(text)) return false;
    at_ += text.size();
    return true;
  }
  char32_t TakeCharacter() {
    const text::CodePoint c = text::DecodeUtf8(pattern_, at_);
    at_ += c.length;
    return c.value;
  }

  Term Join(std::initializer_list<Term> parts) {
    return terms_.Concat(std::span<const Term>(parts.begin(), parts.size()));
  }

  // --- pieces ---

  Piece Both(const Piece& first, const Piece& second) {
    if (first.plain() && second.plain()) return Plain(terms_.Concat(first.at[0], second.at[0]));
    Piece out{{}, first.uses_begin || second.uses_begin, first.uses_end || second.uses_end};
    for (unsigned where = 0; where < 4; ++where) {
      const unsigned begin = where & 1, end = where & 2;
      // The two, neither at the edge that the other stands at; then one of them being empty.
      std::vector<Term> all = {terms_.Concat(first.at[begin], second.at[end])};
      if (begin && second.uses_begin && terms_.Nullable(first.at[begin])) {
        all.push_back(second.at[where]);
      }
      if (end && first.uses_end && terms_.Nullable(second.at[end])) all.push_back(first.at[where]);
      if (terms_.Nullable(first.at[where]) && terms_.Nullable(second.at[where])) {
        all.push_back(kEmpty);
      }
      std::erase(all, kNever);
      // Where anchors may be met or passed over, each adds a choice to all that follow.
      if (all.size() > 1 && ++n_choices_ > kMaxChoices) too_many_choices_ = true;
      out.at[where] = too_many_choices_ ? kNever : terms_.Or(all);
    }
    return out;
  }

  Piece Sequence(std::span<const Piece> parts) {
    // What is plain becomes one term at once; the rest from the right, as terms lean.
    std::vector<Piece> joined;
    std::vector<Term> run;
    const auto end_run = [&] {
      if (!run.empty()) joined.push_back(Plain(terms_.Concat(run)));
      run.clear();
    };
    for (const Piece& part : parts) {
      if (part.plain()) {
        run.push_back(part.at[0]);
      } else {
        end_run();
        joined.push_back(part);
      }
    }
    end_run();
    if (joined.empty()) return Plain(kEmpty);
    Piece out = joined.back();
    for (size_t i = joined.size() - 1; i-- > 0;) out = Both(joined[i], out);
    return out;
  }

  Piece Either(std::span<const Piece> parts) {
    if (parts.size() == 1) return parts[0];
    Piece out{};
    for (const Piece& part : parts) {
      out.uses_begin |= part.uses_begin;
      out.uses_end |= part.uses_end;
    }
    std::vector<Term> all(parts.size());
    for (unsigned where = 0; where < 4; ++where) {
      if (where > 0 && out.plain()) {
        out.at[where] = out.at[0];
        continue;
      }
      for (size_t i = 0; i < parts.size(); ++i) all[i] = parts[i].at[where];
      out.at[where] = terms_.Or(all);
    }
    return out;
  }

  // Rounds that match nothing change nothing but the count; of the others the first alone may stand
  // at the beginning of the text, and the last alone at its end.
  Result<Piece> Repeated(const Piece& piece, Count count, size_t offset) {
    if (piece.plain() || count.max == 0) {
      return Plain(terms_.Repeat(piece.at[0], count.min, count.max));
    }
    const bool any_number = terms_.Nullable(piece.at[0]);  // of empty rounds fills the minimum up
    if (count.min >= 2 && !any_number && terms_.Nullable(piece.at[3])) {
      return Refuse(offset,
                    "a group that may be nothing but `^` or `$` cannot be repeated here: "
                    "take the anchors out of the group");
    }
    Piece out{{}, piece.uses_begin, piece.uses_end};
    const bool one_suffices = count.min <= 1 || any_number;
    for (unsigned where = 0; where < 4; ++where) {
      std::vector<Term> all;
      if (count.min == 0) all.push_back(kEmpty);
      if (one_suffices) all.push_back(piece.at[where]);
      if (count.max >= 2) {
        const uint32_t more = count.max == kUnbounded ? kUnbounded : count.max - 2;
        const Term middle = terms_.Repeat(piece.at[0], one_suffices ? 0 : count.min - 2, more);
        all.push_back(Join({piece.at[where & 1], middle, piece.at[where & 2]}));
      }
      out.at[where] = terms_.Or(all);
    }
    return out;
  }

  // One character of the set, or of those outside it; with (?i), in any case.
  Result<Term> Written(const CharSet& set, bool negated = false) {
    std::u32string key = {ignore_case_, negated};
    for (const CharRange& r : set.ranges()) key.append({r.first, r.last});
    const auto found = written_.find(key);
    if (found != written_.end()) return found->second;
    CharSet written = ignore_case_ ? set.WithOtherCases() : set;
    if (negated) written = written.Complement();
    const auto ranges = written.ranges();
    if (ranges.size() > *ranges_left_) {
      return Refuse(at_, "the character classes hold more than {} ranges together", kMaxRanges);
    }
    *ranges_left_ -= ranges.size();
    const Term t = written.empty() ? kNever : write_(terms_, ranges);
    written_.emplace(std::move(key), t);
    return t;
  }
  Result<Piece> OneOf(const CharSet& set) {
    MNW_ASSIGN(const Term t, Written(set));
    return Plain(t);
  }

  // --- grammar ---

  Result<Piece> Alternatives(size_t depth) {
    std::vector<Piece> alternatives;
    do {
      std::vector<Piece> parts;
      while (More() && Peek() != '|' && Peek() != ')') {
        MNW_ASSIGN(std::optional<Piece> part, Part(depth));
        if (part) parts.push_back(*part);
      }
      alternatives.push_back(Sequence(parts));
      if (too_many_choices_) {
        return Refuse(at_,
                      "too many anchors that may be met or not: write ^ and $ only where the "
                      "pattern begins and ends");
      }
      MNW_TRY(terms_.status());
    } while (Take("|"));
    return Either(alternatives);
  }

  // One atom with its repetition; nothing where flags stand.
  Result<std::optional<Piece>> Part(size_t depth) {
    const size_t start = at_;
    Result<Piece> atom = Plain(kEmpty);
    bool repeatable = true;
    switch (Peek()) {
      case '(':
        if (TakeFlags()) return std::optional<Piece>();
        atom = Group(depth);
        break;
      case '[':
        atom = Class();
        break;
      case '.':
        ++at_;
        atom =
            OneOf(dot_all_ ? CharSet::All()
                           : CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).Complement());
        break;
      case '^':
        ++at_;
        atom = Piece{{kNever, kEmpty, kNever, kEmpty}, true, false};
        repeatable = false;
        break;
      case '$':
        ++at_;
        atom = Piece{{kNever, kNever, kEmpty, kEmpty}, false, true};
        repeatable = false;
        break;
      case '*':
      case '+':
      case '?':
        return Bad(start,
                   "there is nothing to repeat before `{}`; for the character itself write "
                   "`\\{}`",
                   Peek(), Peek());
      case '\\':
        atom = Escaped();
        break;
      default: {
        MNW_ASSIGN(const auto count, TakeCount());
        if (count) return Bad(start, "there is nothing to repeat before `{{`");
        const char32_t c = TakeCharacter();
        atom = OneOf(CharSet({{c, c}}));
      }
    }
    if (!atom.ok()) return std::move(atom).status();
    const size_t quantifier = at_;
    MNW_ASSIGN(const auto count, TakeCount());
    if (!count) return std::optional<Piece>(*atom);
    if (!repeatable) return Bad(quantifier, "an anchor cannot be repeated");
    MNW_ASSIGN(const Piece repeated, Repeated(*atom, *count, quantifier));
    Take("?");  // lazy: the same strings
    if (Peek() == '+') {
      return Refuse(at_, "a possessive repetition is not of this language: leave the `+` out");
    }
    return std::optional<Piece>(repeated);
  }

  Result<std::optional<Count>> TakeCount() {
    using Maybe = std::optional<Count>;
    if (Take("*")) return Maybe({0, kUnbounded});
    if (Take("+")) return Maybe({1, kUnbounded});
    if (Take("?")) return Maybe({0, 1});
    if (Peek() != '{') return Maybe();
    const size_t start = at_;
    size_t at = at_ + 1;
    const auto number = [&]() -> std::optional<uint32_t> {
      if (at >= pattern_.size() || pattern_[at] < '0' || pattern_[at] > '9') return std::nullopt;
      uint32_t n = 0;
      for (; at < pattern_.size() && pattern_[at] >= '0' && pattern_[at] <= '9'; ++at) {
        n = std::min(n * 10 + static_cast<uint32_t>(pattern_[at] - '0'), kMaxRepeat + 1);
      }
      return n;
    };
    const auto next = [&](char c) {
      if (at >= pattern_.size() || pattern_[at] != c) return false;
      ++at;
      return true;
    };
    const auto min = number();
    const bool comma = next(',');
    const auto max = comma ? number() : min;
    if (!next('}') || (!min && !max)) return Maybe();  // a brace
    if (!min) {
      return Refuse(start,
                    "some read `{{,{0}}}` as a repetition and some as these characters: "
                    "write `{{0,{0}}}` or `\\{{`",
                    *max);
    }
    const uint32_t top = max ? *max : kUnbounded;
    if (*min > kMaxRepeat || (max && *max > kMaxRepeat)) {
      return Refuse(start, "a repetition counts to {} at most", kMaxRepeat);
    }
    if (*min > top) return Bad(start, "the repetition {{{},{}}} has no count", *min, top);
    at_ = at;
    return Maybe({*min, top});
  }

  // (?i) and its like, which hold to the end of their group; false: no such thing here.
  bool TakeFlags() {
    size_t at = at_ + 2;
    if (!Ahead("(?") || !ReadFlags(&at) || at >= pattern_.size() || pattern_[at] != ')') {
      return false;
    }
    at = at_ + 2;
    SetFlags(&at);
    at_ = at + 1;
    return true;
  }
  bool ReadFlags(size_t* at) const {  // "i", "s-i", ...; at least one letter
    const size_t end = std::min(pattern_.find_first_not_of("is-", *at), pattern_.size());
    const std::string_view flags = pattern_.substr(*at, end - *at);
    *at = end;
    return flags.find_first_of("is") != flags.npos && flags.find('-') == flags.rfind('-');
  }
  void SetFlags(size_t* at) {
    bool on = true;
    for (;; ++*at) {
      if (pattern_[*at] == '-') {
        on = false;
      } else if (pattern_[*at] == 'i') {
        ignore_case_ = on;
      } else if (pattern_[*at] == 's') {
        dot_all_ = on;
      } else {
        return;
      }
    }
  }

  static bool IsName(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '$' || static_cast<unsigned char>(c) >= 0x80;
    });
  }

  Result<Piece> Group(size_t depth) {
    const size_t start = at_;
    if (depth >= kMaxNesting) return Bad(start, "more than {} groups in groups", kMaxNesting);
    const bool ignore_case = ignore_case_, dot_all = dot_all_;
    ++at_;
    if (Take("?")) {
      size_t flags = at_;
      if (Ahead("=") || Ahead("!") || Ahead("<=") || Ahead("<!")) {
        return Refuse(start,
                      "look-around is not supported: say what the text is instead of what "
                      "stands beside it");
      } else if (Take(":")) {
      } else if (Take("P<") || Take("<")) {
        const size_t close = pattern_.find('>', at_);
        if (close == pattern_.npos || !IsName(pattern_.substr(at_, close - at_))) {
          return Bad(start, "a group with a name is written (?<name>...)");
        }
        at_ = close + 1;
      } else if (ReadFlags(&flags) && flags < pattern_.size() && pattern_[flags] == ':') {
        SetFlags(&at_);
        ++at_;
      } else {
        return Refuse(start, "groups are (...), (?:...), (?<name>...), (?i:...) and (?s:...)");
      }
    }
    MNW_ASSIGN(const Piece inside, Alternatives(depth + 1));
    if (!Take(")")) return Bad(start, "this group is not closed: a `)` is missing");
    ignore_case_ = ignore_case;
    dot_all_ = dot_all;
    return inside;
  }

  // --- characters ---

  static const CharSet& Digits() {
    static const CharSet set({{'0', '9'}});
    return set;
  }
  static const CharSet& WordCharacters() {
    static const CharSet set({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
    return set;
  }
  static const CharSet& Spaces() {
    static const CharSet set({{9, 13},
                              {' ', ' '},
                              {0xA0, 0xA0},
                              {0x1680, 0x1680},
                              {0x2000, 0x200A},
                              {0x2028, 0x2029},
                              {0x202F, 0x202F},
                              {0x205F, 0x205F},
                              {0x3000, 0x3000},
                              {0xFEFF, 0xFEFF}});
    return set;
  }

  // \d and its like, after the backslash; nothing: it is another escape.
  Result<std::optional<CharSet>> TakeSet() {
    using Maybe = std::optional<CharSet>;
    const char c = Peek();
    switch (c) {
      case 'd':
      case 'D':
        ++at_;
        return Maybe(c == 'd' ? Digits() : Digits().Complement());
      case 'w':
      case 'W':
        ++at_;
        return Maybe(c == 'w' ? WordCharacters() : WordCharacters().Complement());
      case 's':
      case 'S':
        ++at_;
        return Maybe(c == 's' ? Spaces() : Spaces().Complement());
      case 'p':
      case 'P':
        break;
      default:
        return Maybe();
    }
    const size_t start = at_ - 1;
    const size_t close = pattern_.find('}', at_);
    if (Peek(1) != '{' || close == pattern_.npos) {
      return Bad(start, "a property is written \\{}{{Name}}", c);
    }
    std::string_view name = pattern_.substr(at_ + 2, close - at_ - 2);
    if (name.substr(0, 1) == "^")
      return Bad(start, "write \\P{{...}} for characters without a property");
    auto found = properties_.find(name);
    if (found == properties_.end()) {
      if (properties_.size() == kMaxProperties) {
        return Refuse(start, "more than {} different properties in a pattern", kMaxProperties);
      }
      auto set = PropertyChars(name);
      if (!set.ok()) return std::move(set).status().Annotate(fmt::format("offset {}", start));
      found = properties_.emplace(name, *std::move(set)).first;
    }
    at_ = close + 1;
    return Maybe(c == 'p' ? found->second : found->second.Complement());
  }

  std::optional<char32_t> Hex(size_t at, size_t digits) const {
    if (at + digits > pattern_.size()) return std::nullopt;
    char32_t value = 0;
    for (size_t i = at; i < at + digits; ++i) {
      const char c = pattern_[i];
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return std::nullopt;
      value = value << 4 | static_cast<char32_t>(digit);
    }
    return value;
  }

  // \u0041, \u{41}, \uD83D\uDE00; at_ is behind the u.
  Result<char32_t> TakeUnicode(size_t start) {
    if (Take("{")) {
      const size_t close = std::min(pattern_.find('}', at_), pattern_.size());
      const size_t digits = close - at_;
      const auto value = digits >= 1 && digits <= 8 ? Hex(at_, digits) : std::nullopt;
      if (!value || *value > kMaxCodePoint || close == pattern_.size()) {
        return Bad(start, "a character by its number is \\u{{0}} to \\u{{10FFFF}}");
      }
      at_ = close + 1;
      return *value;
    }
    const auto value = Hex(at_, 4);
    if (!value) return Bad(start, "four hexadecimal digits belong after \\u");
    at_ += 4;
    if (*value >= 0xD800 && *value < 0xDC00 && Ahead("\\u")) {
      const auto low = Hex(at_ + 2, 4);
      if (low && *low >= 0xDC00 && *low < 0xE000) {
        at_ += 6;
        return 0x10000 + ((*value - 0xD800) << 10) + (*low - 0xDC00);
      }
    }
    return *value;
  }

  // One character after the backslash, which stands at `start`.
  Result<char32_t> TakeEscapedCharacter(size_t start) {
    if (!More()) return Bad(start, "a backslash at the end: write `\\\\` for the character");
    const char c = Peek();
    if (static_cast<unsigned char>(c) >= 0x80) return TakeCharacter();
    ++at_;
    switch (c) {
      case 't':
        return U'\t';
      case 'n':
        return U'\n';
      case 'v':
        return U'\v';
      case 'f':
        return U'\f';
      case 'r':
        return U'\r';
      case '0':
        if (Peek() >= '0' && Peek() <= '9') {
          return Refuse(start, "octal numbers are not supported: write \\x00");
        }
        return U'\0';
      case 'c':
        if ((Peek() >= 'a' && Peek() <= 'z') || (Peek() >= 'A' && Peek() <= 'Z')) {
          return static_cast<char32_t>(pattern_[at_++] & 31);
        }
        return Bad(start, "a letter belongs after \\c");
      case 'x': {
        const auto value = Hex(at_, 2);
        if (!value) return Bad(start, "two hexadecimal digits belong after \\x");
        at_ += 2;
        return *value;
      }
      case 'u':
        return TakeUnicode(start);
      case 'A':
        return Refuse(start, "\\A is not of this language: write ^");
      case 'Z':
      case 'z':
        return Refuse(start, "\\{} is not of this language: write $", c);
      case 'k':
        return Refuse(start, "a back reference is not supported: write the alternatives out");
      default:
        break;
    }
    if (c >= '1' && c <= '9') {
      return Refuse(start, "a back reference is not supported: write the alternatives out");
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      return Bad(start, "\\{} means nothing here", c);
    }
    return static_cast<char32_t>(c);
  }

  Result<Piece> Escaped() {
    const size_t start = at_++;
    if (Peek() == 'b' || Peek() == 'B') {
      return Refuse(start, "\\{} is not supported: say which characters stand on its two sides",
                    Peek());
    }
    MNW_ASSIGN(const auto set, TakeSet());
    if (set) return OneOf(*set);
    MNW_ASSIGN(const char32_t c, TakeEscapedCharacter(start));
    return OneOf(CharSet({{c, c}}));
  }

  // One character of a class, or a set, which then is in `ranges` already.
  Result<std::optional<char32_t>> ClassAtom(std::vector<CharRange>* ranges) {
    using Maybe = std::optional<char32_t>;
    const size_t start = at_;
    if (!Take("\\")) {
      const std::string_view near = pattern_.substr(start, 24);
      const size_t close = near.find(":]");
      if (near.substr(0, 2) == "[:" && close != near.npos && near.find(']') == close + 1) {
        return Refuse(start,
                      "{} is not of this language: write \\p{{...}}, or `\\[` for the character",
                      near.substr(0, close + 2));
      }
      return Maybe(TakeCharacter());
    }
    if (Take("b")) return Maybe(U'\b');
    MNW_ASSIGN(const auto set, TakeSet());
    if (!set) {
      MNW_ASSIGN(const char32_t c, TakeEscapedCharacter(start));
      return Maybe(c);
    }
    n_class_ranges_ += set->ranges().size();
    if (n_class_ranges_ > 10 * kMaxRanges) {
      return Refuse(start, "the character classes of this pattern are too large together");
    }
    ranges->insert(ranges->end(), set->ranges().begin(), set->ranges().end());
    return Maybe();
  }

  Result<Piece> Class() {
    const size_t start = at_++;
    const bool negated = Take("^");
    std::vector<CharRange> ranges;
    while (!Take("]")) {
      if (!More()) return Bad(start, "this class is not closed: a `]` is missing");
      const size_t first_at = at_;
      MNW_ASSIGN(const auto first, ClassAtom(&ranges));
      if (!first) continue;
      if (Peek() != '-' || Peek(1) == ']' || at_ + 1 >= pattern_.size()) {
        ranges.push_back({*first, *first});
        continue;
      }
      ++at_;
      MNW_ASSIGN(const auto last, ClassAtom(&ranges));
      if (!last) {  // [a-\d]: no range, so the hyphen is one
        ranges.insert(ranges.end(), {{*first, *first}, {'-', '-'}});
        continue;
      }
      if (*last < *first) {
        return Bad(first_at, "the range {} ends before it begins",
                   pattern_.substr(first_at, at_ - first_at));
      }
      ranges.push_back({*first, *last});
    }
    MNW_ASSIGN(const Term t, Written(CharSet(std::move(ranges)), negated));
    return Plain(t);
  }

  Terms& terms_;
  const std::string_view pattern_;
  const CharWriter& write_;
  size_t at_ = 0;
  bool ignore_case_, dot_all_;
  std::unordered_map<std::u32string, Term> written_;
  std::unordered_map<std::string_view, CharSet> properties_;
  size_t own_ranges_left_ = kMaxRanges;
  size_t* const ranges_left_;
  size_t n_class_ranges_ = 0, n_choices_ = 0;
  bool too_many_choices_ = false;
};

}  // namespace

Term WriteRaw(Terms& terms, std::span<const CharRange> ranges) { return terms.Chars(ranges); }

Result<Term> CompileRegex(Terms& terms, std::string_view pattern, const CharWriter& write,
                          const RegexOptions& options) {
  return Compiler(terms, pattern, write, options).Compile(options.search);
}

}  // namespace minnow::constrain
