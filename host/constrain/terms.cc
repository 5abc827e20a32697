#include "constrain/terms.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace minnow::constrain {

namespace {

uint64_t Mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15;
  return h ^ h >> 29;
}

}  // namespace

Terms::Terms(const TokenCounter* counter, TermLimits limits) : counter_(counter), limits_(limits) {
  table_.assign(1024, kUnbounded);
  Intern({.kind = Kind::kNever, .live = Live::kNo});
  Intern({.kind = Kind::kEmpty, .nullable = true, .cost = 0});
}

Terms::~Terms() = default;

Term Terms::Fail(Code code, std::string message) {
  if (status_.ok()) status_ = Status(code, std::move(message));
  return kNever;
}

uint64_t Terms::Hash(const Node& n, std::string_view text, std::span<const Term> list) const {
  uint64_t h = Mix(static_cast<uint64_t>(n.kind), n.min);
  h = Mix(h, n.max);
  if (n.kind == Kind::kLiteral) {
    for (char c : text) h = Mix(h, static_cast<uint8_t>(c));
  } else if (n.kind == Kind::kOr || n.kind == Kind::kAnd) {
    for (Term t : list) h = Mix(h, t);
  } else {
    h = Mix(Mix(h, n.a), n.b);
  }
  return h;
}

bool Terms::Same(const Node& n, const Node& o, std::string_view text,
                 std::span<const Term> list) const {
  if (n.kind != o.kind || n.min != o.min || n.max != o.max) return false;
  if (n.kind == Kind::kLiteral) return Text(o) == text;
  if (n.kind == Kind::kOr || n.kind == Kind::kAnd) return std::ranges::equal(List(o), list);
  return n.a == o.a && n.b == o.b;
}

void Terms::Grow() {
  table_.assign(table_.size() * 2, kUnbounded);
  const size_t mask = table_.size() - 1;
  for (Term t = 0; t < nodes_.size(); ++t) {
    const Node& n = nodes_[t];
    const bool has_list = n.kind == Kind::kOr || n.kind == Kind::kAnd;
    size_t i = Hash(n, n.kind == Kind::kLiteral ? Text(n) : std::string_view(),
                    has_list ? List(n) : std::span<const Term>()) &
               mask;
    while (table_[i] != kUnbounded) i = (i + 1) & mask;
    table_[i] = t;
  }
}

// `text` of a literal may lie in pool_ (then it is not copied); `list` is copied.
Term Terms::Intern(Node node, std::string_view text, std::span<const Term> list) {
  const size_t mask = table_.size() - 1;
  size_t i = Hash(node, text, list) & mask;
  for (; table_[i] != kUnbounded; i = (i + 1) & mask) {
    if (Same(node, nodes_[table_[i]], text, list)) return table_[i];
  }
  if (nodes_.size() >= limits_.max_terms) {
    return Fail(
        Code::kExhausted,
        fmt::format("the grammar needs more than {} states; make it simpler", limits_.max_terms));
  }
  if (node.height > limits_.max_nesting) {
    return Fail(Code::kInvalid,
                fmt::format("the grammar is nested more than {} levels deep; make it flatter",
                            limits_.max_nesting));
  }
  if (node.kind == Kind::kLiteral) {
    const bool in_pool = text.data() >= pool_.data() && text.data() < pool_.data() + pool_.size();
    node.a = in_pool ? static_cast<uint32_t>(text.data() - pool_.data())
                     : static_cast<uint32_t>(pool_.size());
    node.b = static_cast<uint32_t>(text.size());
    if (!in_pool) pool_.append(text);
  } else if (node.kind == Kind::kOr || node.kind == Kind::kAnd) {
    node.a = static_cast<uint32_t>(lists_.size());
    node.b = static_cast<uint32_t>(list.size());
    lists_.insert(lists_.end(), list.begin(), list.end());
  }
  const Term t = static_cast<Term>(nodes_.size());
  nodes_.push_back(node);
  rows_.push_back(nullptr);
  table_[i] = t;
  if (nodes_.size() * 2 > table_.size()) Grow();
  return t;
}

Term Terms::Bytes(const ByteSet& set) {
  const int n = set.Count();
  if (n == 0 || !status_.ok()) return kNever;
  if (n == 1) {
    const char c = static_cast<char>(set.First());
    return Literal(std::string_view(&c, 1));
  }
  const auto it = std::find(sets_.begin(), sets_.end(), set);
  const auto index = static_cast<uint32_t>(it - sets_.begin());
  if (it == sets_.end()) sets_.push_back(set);
  return Intern({.kind = Kind::kBytes, .height = 1, .a = index, .cost = 1});
}

Term Terms::Literal(std::string_view bytes) {
  if (!status_.ok()) return kNever;
  if (bytes.empty()) return kEmpty;
  return Intern({.kind = Kind::kLiteral, .height = 1}, bytes);
}

Term Terms::LiteralTail(Term literal) {
  const std::string_view text = Text(nodes_[literal]);
  if (text.size() == 1) return kEmpty;
  return Intern({.kind = Kind::kLiteral, .height = 1}, text.substr(1));
}

// UTF-8 of [first, last], by pieces whose trailing bytes run over all of their range.
Term Terms::Chars(std::span<const CharRange> ranges) {
  constexpr std::array<char32_t, 5> kStarts = {0, 0x80, 0x800, 0x10000, 0x110000};
  std::vector<Term> parts;
  ByteSet ascii;
  const auto encode = [](char32_t c, size_t n, std::array<uint8_t, 4>& out) {
    constexpr std::array<uint8_t, 5> kLead = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; --i, c >>= 6) out[i] = static_cast<uint8_t>(0x80 | (c & 0x3F));
    out[0] = static_cast<uint8_t>((n == 1 ? 0 : kLead[n]) | c);
  };
  const auto piece = [&](char32_t first, char32_t last, size_t n) {
    std::array<uint8_t, 4> a{}, b{};
    encode(first, n, a);
    encode(last, n, b);
    Term t = kEmpty;
    for (size_t i = n; i-- > 0;) t = Concat(Bytes(ByteSet::Range(a[i], b[i])), t);
    parts.push_back(t);
  };
  // Splits so that in each piece every byte after the first that differs takes its whole range.
  const auto split = [&](char32_t first, char32_t last, size_t n, const auto& self) -> void {
    for (size_t i = 1; i < n; ++i) {
      const char32_t mask = (char32_t{1} << (6 * i)) - 1;
      if ((first & ~mask) == (last & ~mask)) continue;
      if ((first & mask) != 0) {
        self(first, first | mask, n, self);
        return self((first | mask) + 1, last, n, self);
      }
      if ((last & mask) != mask) {
        self(first, (last & ~mask) - 1, n, self);
        return self(last & ~mask, last, n, self);
      }
    }
    piece(first, last, n);
  };
  for (const CharRange& range : ranges) {
    const std::array<CharRange, 2> sides = {
        {{range.first, std::min<char32_t>(range.last, 0xD7FF)},
         {std::max<char32_t>(range.first, 0xE000), range.last}}};
    for (const CharRange& r : sides) {
      for (size_t n = 1; n <= 4; ++n) {
        const char32_t first = std::max(r.first, kStarts[n - 1]);
        const char32_t last = std::min<char32_t>(r.last, kStarts[n] - 1);
        if (first > last) continue;
        if (n == 1) {
          ascii = ascii | ByteSet::Range(static_cast<uint8_t>(first), static_cast<uint8_t>(last));
        } else {
          split(first, last, n, split);
        }
      }
    }
  }
  parts.push_back(Bytes(ascii));
  return Or(parts);
}

Term Terms::ConcatTwo(Term first, Term second) {
  // Not references: nodes_ may move.
  const Node a = nodes_[first];
  if (a.kind == Kind::kLiteral) {
    const Node b = nodes_[second];
    if (b.kind == Kind::kLiteral) return Literal(std::string(Text(a)) + std::string(Text(b)));
    if (b.kind == Kind::kConcat && nodes_[b.a].kind == Kind::kLiteral) {
      const Term head = Literal(std::string(Text(a)) + std::string(Text(nodes_[b.a])));
      return ConcatTwo(head, b.b);
    }
  }
  const Node& b = nodes_[second];
  return Intern({.kind = Kind::kConcat,
                 .nullable = a.nullable && b.nullable,
                 .has_rule = a.has_rule || b.has_rule,
                 .height = std::max<uint16_t>(static_cast<uint16_t>(a.height + 1), b.height),
                 .a = first,
                 .b = second});
}

Term Terms::Concat(Term first, Term second) {
  if (Dead(first) || Dead(second) || !status_.ok()) return kNever;
  if (first == kEmpty) return second;
  if (second == kEmpty) return first;
  std::vector<Term> spine;
  while (nodes_[first].kind == Kind::kConcat) {
    spine.push_back(nodes_[first].a);
    first = nodes_[first].b;
  }
  Term t = ConcatTwo(first, second);
  for (size_t i = spine.size(); i-- > 0 && t != kNever;) t = ConcatTwo(spine[i], t);
  return t;
}

Term Terms::Concat(std::span<const Term> parts) {
  Term t = kEmpty;
  for (size_t i = parts.size(); i > 0;) {
    // Literals side by side become one at once: in pairs, each would be copied for every other.
    size_t first = i - 1;
    if (nodes_[parts[first]].kind == Kind::kLiteral) {
      while (first > 0 && nodes_[parts[first - 1]].kind == Kind::kLiteral) --first;
    }
    if (first + 1 == i) {
      t = Concat(parts[first], t);
    } else {
      std::string text;
      for (size_t k = first; k < i; ++k) text += Text(nodes_[parts[k]]);
      t = Concat(Literal(text), t);
    }
    i = first;
  }
  return t;
}

Term Terms::Or(Term a, Term b) {
  const std::array<Term, 2> both = {a, b};
  return Or(both);
}

Term Terms::Or(std::span<const Term> alternatives) {
  if (!status_.ok()) return kNever;
  std::vector<Term> list;
  ByteSet bytes;
  int n_bytes = 0;
  const auto add = [&](Term t) {
    const Node& n = nodes_[t];
    if (Dead(t)) return;
    if (n.kind == Kind::kBytes) {
      bytes = bytes | sets_[n.a];
      n_bytes += 2;
    } else if (n.kind == Kind::kLiteral && n.b == 1) {
      bytes.Add(static_cast<uint8_t>(pool_[n.a]));
      ++n_bytes;
    } else {
      list.push_back(t);
    }
  };
  for (Term t : alternatives) {
    if (nodes_[t].kind == Kind::kOr) {
      for (Term u : List(nodes_[t])) add(u);
    } else {
      add(t);
    }
  }
  if (n_bytes > 0) list.push_back(Bytes(bytes));
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  bool nullable = false, has_rule = false;
  uint16_t height = 0;
  size_t n_nullable = 0;
  for (Term t : list) {
    nullable |= nodes_[t].nullable;
    n_nullable += nodes_[t].nullable ? 1 : 0;
    has_rule |= nodes_[t].has_rule;
    height = std::max<uint16_t>(height, nodes_[t].height);
  }
  // The empty string is there already.
  if (n_nullable > 1 && list.front() == kEmpty) list.erase(list.begin());
  if (list.empty()) return kNever;
  if (list.size() == 1) return list[0];
  return Intern({.kind = Kind::kOr,
                 .nullable = nullable,
                 .has_rule = has_rule,
                 .height = static_cast<uint16_t>(height + 1)},
                {}, list);
}

Term Terms::Not(Term a) {
  if (!status_.ok()) return kNever;
  const Node n = nodes_[a];
  if (n.kind == Kind::kNot) return n.a;
  if (n.has_rule) return Fail(Code::kInvalid, "the complement of a recursive rule cannot be made");
  return Intern({.kind = Kind::kNot,
                 .nullable = !n.nullable,
                 .height = static_cast<uint16_t>(n.height + 1),
                 .a = Dead(a) ? kNever : a});
}

Term Terms::RawAnd(std::vector<Term> parts) {
  std::vector<Term> list;
  for (Term t : parts) {
    if (nodes_[t].kind == Kind::kAnd) {
      for (Term u : List(nodes_[t])) list.push_back(u);
    } else {
      list.push_back(t);
    }
  }
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  bool nullable = true;
  uint16_t height = 0;
  for (Term t : list) {
    // A part whose own liveness is not known yet is one of an intersection being explored.
    if (Dead(t)) return kNever;
    nullable &= nodes_[t].nullable;
    height = std::max<uint16_t>(height, nodes_[t].height);
  }
  if (!list.empty() && list.front() == kEmpty) return nullable ? kEmpty : kNever;
  std::erase_if(list,
                [&](Term t) { return nodes_[t].kind == Kind::kNot && nodes_[t].a == kNever; });
  if (list.empty()) return Not(kNever);
  if (list.size() == 1) return list[0];
  return Intern({.kind = Kind::kAnd,
                 .nullable = nullable,
                 .live = Live::kUnknown,
                 .height = static_cast<uint16_t>(height + 1)},
                {}, list);
}

Term Terms::And(Term a, Term b) {
  if (!status_.ok()) return kNever;
  if (nodes_[a].has_rule || nodes_[b].has_rule)
    return Fail(Code::kInvalid, "the intersection with a recursive rule cannot be made");
  return Checked(RawAnd({a, b}));
}

Term Terms::Repeat(Term a, uint32_t min, uint32_t max) {
  if (!status_.ok()) return kNever;
  if (min > max) return kNever;
  if (max == 0 || a == kEmpty) return kEmpty;
  const Node n = nodes_[a];
  if (Dead(a)) return min == 0 ? kEmpty : kNever;
  if (min == 1 && max == 1) return a;
  if (n.kind == Kind::kRepeat && min == 0 && max == kUnbounded && n.min <= 1 && n.max == kUnbounded)
    return Repeat(n.a, 0, kUnbounded);
  return Intern({.kind = Kind::kRepeat,
                 .nullable = min == 0 || n.nullable,
                 .has_rule = n.has_rule,
                 .height = static_cast<uint16_t>(n.height + 1),
                 .a = a,
                 .min = min,
                 .max = max});
}

Term Terms::TrimEnd(Term t) {
  std::vector<Term> parts;
  for (; nodes_[t].kind == Kind::kConcat; t = nodes_[t].b) parts.push_back(nodes_[t].a);
  parts.push_back(t);
  while (!parts.empty() && nodes_[parts.back()].nullable) parts.pop_back();
  if (parts.empty()) return kEmpty;
  if (const Node n = nodes_[parts.back()]; n.kind == Kind::kRepeat)
    parts.back() = Repeat(n.a, n.min, n.min);
  return Concat(parts);
}

Term Terms::TrimBegin(Term t) {
  for (; nodes_[t].kind == Kind::kConcat; t = nodes_[t].b) {
    const Node head = nodes_[nodes_[t].a];
    if (head.nullable) continue;
    return head.kind == Kind::kRepeat ? Concat(Repeat(head.a, head.min, head.min), nodes_[t].b) : t;
  }
  const Node n = nodes_[t];
  if (n.nullable) return kEmpty;
  return n.kind == Kind::kRepeat ? Repeat(n.a, n.min, n.min) : t;
}

// A tree by first bytes, so that a byte is looked at once, not once for each string.
Term Terms::Strings(std::span<const std::string> strings) {
  std::vector<std::string_view> sorted(strings.begin(), strings.end());
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  // [begin, end) agree in their first `depth` bytes. Recursion goes as deep as strings branch.
  const auto build = [&](size_t begin, size_t end, size_t depth, const auto& self) -> Term {
    std::vector<Term> alternatives;
    if (!status_.ok()) return kNever;
    if (end - begin == 1) return Literal(sorted[begin].substr(depth));
    if (sorted[begin].size() == depth) {
      alternatives.push_back(kEmpty);
      ++begin;
    }
    while (begin < end) {
      size_t stop = begin + 1;
      while (stop < end && sorted[stop][depth] == sorted[begin][depth]) ++stop;
      size_t common = depth + 1;
      const std::string_view first = sorted[begin], last = sorted[stop - 1];
      while (common < first.size() && common < last.size() && first[common] == last[common])
        ++common;
      alternatives.push_back(
          Concat(Literal(first.substr(depth, common - depth)), self(begin, stop, common, self)));
      begin = stop;
    }
    return Or(alternatives);
  };
  if (sorted.empty()) return kNever;
  return build(0, sorted.size(), 0, build);
}

Term Terms::Multiple(uint32_t divisor) {
  if (!status_.ok()) return kNever;
  if (divisor == 0) return Fail(Code::kInvalid, "nothing is a multiple of 0");
  return Intern({.kind = Kind::kMultiple, .height = 1, .a = divisor});
}

Term Terms::States(std::shared_ptr<Automaton> automaton, uint32_t start) {
  if (!status_.ok() || start == Automaton::kDead) return kNever;
  const auto it = std::find(automata_.begin(), automata_.end(), automaton);
  const auto index = static_cast<uint32_t>(it - automata_.begin());
  const bool accepts = automaton->Accepts(start);
  if (it == automata_.end()) automata_.push_back(std::move(automaton));
  return Intern({.kind = Kind::kStates, .nullable = accepts, .height = 1, .a = index, .b = start});
}

RuleId Terms::Declare(std::string name) {
  rules_.push_back({.name = std::move(name)});
  return static_cast<RuleId>(rules_.size() - 1);
}

Term Terms::Rule(RuleId rule) {
  if (!status_.ok()) return kNever;
  const Term t = Intern({.kind = Kind::kRule, .has_rule = true, .height = 1, .a = rule});
  rules_[rule].reference = t;
  return t;
}

void Terms::Define(RuleId rule, Term body) {
  rules_[rule].body = body;
  rules_[rule].defined = true;
}

size_t Terms::bytes() const {
  size_t automata = 0;
  for (const auto& automaton : automata_) automata += automaton->bytes();
  return automata + nodes_.capacity() * (sizeof(Node) + sizeof(uint32_t*)) +
         table_.size() * sizeof(uint32_t) + row_blocks_.size() * kRowsPerBlock * 1024 +
         pool_.capacity() + lists_.capacity() * sizeof(Term) + sets_.capacity() * sizeof(ByteSet) +
         (loops_.size() + alone_.size()) * (sizeof(Loop) + 32) +
         (opened_[0].size() + opened_[1].size() + least_counts_[0].size() +
          least_counts_[1].size()) *
             32 +
         possible_.size() * (sizeof(ByteSet) + 32);
}

std::string Terms::Print(Term root) const {
  constexpr size_t kLongest = 400;
  std::string out;
  const auto print = [&](Term t, const auto& self) -> void {
    if (out.size() > kLongest) return;
    const Node& n = nodes_[t];
    const auto list = [&](const char* between) {
      out += '(';
      for (size_t i = 0; i < n.b; ++i) {
        if (i > 0) out += between;
        self(lists_[n.a + i], self);
      }
      out += ')';
    };
    switch (n.kind) {
      case Kind::kNever:
        out += "never";
        break;
      case Kind::kEmpty:
        out += "\"\"";
        break;
      case Kind::kBytes: {
        out += '[';
        for (unsigned b = 0; b < 256; ++b) {
          if (!sets_[n.a].Has(static_cast<uint8_t>(b))) continue;
          unsigned last = b;
          while (last < 255 && sets_[n.a].Has(static_cast<uint8_t>(last + 1))) ++last;
          const auto one = [&](unsigned c) {
            out += c > 32 && c < 127 ? std::string(1, static_cast<char>(c))
                                     : fmt::format("\\x{:02x}", c);
          };
          one(b);
          if (last > b) {
            out += '-';
            one(last);
          }
          b = last;
        }
        out += ']';
        break;
      }
      case Kind::kLiteral:
        out += fmt::format("\"{}\"", Text(n));
        break;
      case Kind::kConcat:
        self(n.a, self);
        out += ' ';
        self(n.b, self);
        break;
      case Kind::kOr:
        list(" | ");
        break;
      case Kind::kAnd:
        list(" & ");
        break;
      case Kind::kNot:
        out += '~';
        self(n.a, self);
        break;
      case Kind::kRepeat:
        self(n.a, self);
        out += n.max == kUnbounded ? fmt::format("{{{},}}", n.min)
                                   : fmt::format("{{{},{}}}", n.min, n.max);
        break;
      case Kind::kRule:
        out += rules_[n.a].name;
        break;
      case Kind::kMultiple:
        out += fmt::format("multiple of {} after rest {}", n.a, n.b);
        break;
      case Kind::kStates:
        out += fmt::format("state {}", n.b);
        break;
    }
  };
  print(root, print);
  if (out.size() > kLongest) out = out.substr(0, kLongest) + "...";
  return out;
}

}  // namespace minnow::constrain
