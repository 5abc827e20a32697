#include "constrain/terms.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <utility>

namespace minnow::constrain {

namespace {

constexpr uint32_t kUnknown = kUnbounded;  // in rows of derivatives
constexpr size_t kRowsPerBlock = 64;
constexpr size_t kMaxDepth = 2000;  // of derivatives in one another

uint32_t AddCost(uint32_t a, uint32_t b) {
  const uint64_t sum = uint64_t{a} + b;
  return a == kUnbounded || b == kUnbounded
             ? kUnbounded
             : static_cast<uint32_t>(std::min<uint64_t>(sum, kUnbounded - 1));
}
uint32_t TimesCost(uint32_t a, uint32_t n) {
  if (n == 0 || a == 0) return 0;
  if (a == kUnbounded) return kUnbounded;
  return static_cast<uint32_t>(std::min<uint64_t>(uint64_t{a} * n, kUnbounded - 1));
}

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

void Terms::MarkWide(Term character) {
  if (std::find(wide_.begin(), wide_.end(), character) == wide_.end()) wide_.push_back(character);
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

Status Terms::Seal() {
  for (const RuleInfo& rule : rules_) {
    if (!rule.defined && rule.reference != kNever && status_.ok())
      Fail(Code::kInvalid, fmt::format("rule '{}' is used but not defined", rule.name));
  }
  MNW_TRY(status_);
  SolveRules();
  Status recursion = RefuseLeftRecursion();
  if (!recursion.ok()) return status_ = std::move(recursion);
  sealed_ = true;
  return status_;
}

uint32_t Terms::CostNow(const Node& n) {
  switch (n.kind) {
    case Kind::kNever:
      return kUnbounded;
    case Kind::kEmpty:
      return 0;
    case Kind::kBytes:
      return 1;
    case Kind::kLiteral:
      return counter_ ? counter_->CountTokens(Text(n)) : n.b;
    case Kind::kConcat:
      return AddCost(nodes_[n.a].cost, nodes_[n.b].cost);
    case Kind::kOr: {
      uint32_t best = kUnbounded;
      for (Term t : List(n)) best = std::min(best, nodes_[t].cost);
      return best;
    }
    case Kind::kAnd:
      return n.cost;  // IsLive knows
    case Kind::kNot:
      return n.nullable ? 0 : 1;  // nobody asks: it stands in intersections
    case Kind::kRepeat:
      return n.min == 0 ? 0 : TimesCost(nodes_[n.a].cost, n.min);
    case Kind::kRule:
      return nodes_[rules_[n.a].body].cost;
    case Kind::kMultiple:
      return n.min && n.b == 0 ? 0 : 1;  // see Cost
    case Kind::kStates:
      return automata_[n.a]->Distance(n.b);
  }
  return kUnbounded;
}

// The least fixed point of costs: rules without a string stay at kUnbounded and are dead. A term's
// parts have smaller numbers than it, except through rules, so a pass in order settles all but
// those; what a rule's new cost touches is done again.
void Terms::SolveRules() {
  std::vector<std::vector<Term>> users(nodes_.size());  // who has this term as a part
  const auto use = [&](Term part, Term whole) { users[part].push_back(whole); };
  for (Term t = 0; t < nodes_.size(); ++t) {
    const Node& n = nodes_[t];
    if (n.kind == Kind::kConcat) {
      use(n.a, t);
      use(n.b, t);
    } else if (n.kind == Kind::kOr) {
      for (Term part : List(n)) use(part, t);
    } else if (n.kind == Kind::kRepeat) {
      use(n.a, t);
    } else if (n.kind == Kind::kRule) {
      use(rules_[n.a].body, t);
    }
  }
  std::deque<Term> work;
  for (Term t = 0; t < nodes_.size(); ++t) work.push_back(t);
  // Nothing waits twice: a choice of thousands of rules would be looked at once for each of them.
  std::vector<bool> waits(nodes_.size(), true);
  while (!work.empty()) {
    const Term t = work.front();
    work.pop_front();
    waits[t] = false;
    Node& n = nodes_[t];
    bool nullable = n.nullable;
    if (n.kind == Kind::kConcat) nullable = nodes_[n.a].nullable && nodes_[n.b].nullable;
    if (n.kind == Kind::kOr) {
      nullable = std::ranges::any_of(List(n), [&](Term u) { return nodes_[u].nullable; });
    }
    if (n.kind == Kind::kRepeat) nullable = n.min == 0 || nodes_[n.a].nullable;
    if (n.kind == Kind::kRule) nullable = nodes_[rules_[n.a].body].nullable;
    const uint32_t cost = std::min(n.cost, CostNow(n));
    if (cost == n.cost && nullable == n.nullable) continue;
    n.cost = cost;
    n.nullable = nullable;
    for (Term user : users[t]) {
      if (waits[user]) continue;
      waits[user] = true;
      work.push_back(user);
    }
  }
  // Without a rule inside, what has no cost yet was met while an intersection was explored.
  for (Node& n : nodes_) {
    if (n.has_rule && n.cost == kUnbounded) n.live = Live::kNo;
  }
}

// Of the rules that may stand at the very front.
void Terms::CollectHeads(Term t, std::vector<RuleId>* heads) const {
  std::vector<Term> work = {t};
  while (!work.empty()) {
    const Node& n = nodes_[work.back()];
    work.pop_back();
    if (n.live == Live::kNo) continue;
    if (n.kind == Kind::kRule) heads->push_back(n.a);
    if (n.kind == Kind::kRepeat) work.push_back(n.a);
    if (n.kind == Kind::kOr) {
      for (Term part : List(n)) work.push_back(part);
    }
    if (n.kind == Kind::kConcat) {
      work.push_back(n.a);
      if (nodes_[n.a].nullable) work.push_back(n.b);
    }
  }
}

Status Terms::RefuseLeftRecursion() const {
  std::vector<std::vector<RuleId>> heads(rules_.size());
  for (size_t r = 0; r < rules_.size(); ++r) {
    CollectHeads(rules_[r].body, &heads[r]);
    std::sort(heads[r].begin(), heads[r].end());
    heads[r].erase(std::unique(heads[r].begin(), heads[r].end()), heads[r].end());
  }
  enum class Color : uint8_t { kWhite, kGrey, kBlack };
  std::vector<Color> color(rules_.size(), Color::kWhite);
  std::vector<size_t> height(rules_.size(), 0);
  for (RuleId start = 0; start < rules_.size(); ++start) {
    std::vector<std::pair<RuleId, size_t>> path;  // a rule, and which of its heads is next
    if (color[start] == Color::kWhite) path.push_back({start, 0});
    while (!path.empty()) {
      auto& [rule, next] = path.back();
      color[rule] = Color::kGrey;
      if (next < heads[rule].size()) {
        const RuleId head = heads[rule][next++];
        if (color[head] == Color::kGrey) {
          return Error(
              Code::kInvalid,
              "rule '{}' can begin with itself, without anything before it (left recursion); "
              "write it with a repetition instead",
              rules_[head].name);
        }
        if (color[head] == Color::kWhite) path.push_back({head, 0});
        continue;
      }
      for (RuleId head : heads[rule]) height[rule] = std::max(height[rule], height[head] + 1);
      if (height[rule] > limits_.max_nesting) {
        return Error(Code::kInvalid,
                     "rule '{}' begins with a chain of more than {} rules; make it flatter",
                     rules_[rule].name, limits_.max_nesting);
      }
      color[rule] = Color::kBlack;
      path.pop_back();
    }
  }
  return Status();
}

uint32_t Terms::NodeCost(Term t) {
  // What stands behind is done first, and so on: parts of parts are few.
  std::vector<Term> spine;
  for (Term u = t; nodes_[u].cost == kUnbounded && nodes_[u].live != Live::kNo;) {
    spine.push_back(u);
    if (nodes_[u].kind != Kind::kConcat) break;
    u = nodes_[u].b;
  }
  for (size_t i = spine.size(); i-- > 0;) {
    const Node n = nodes_[spine[i]];
    if (n.kind == Kind::kConcat || n.kind == Kind::kRepeat) NodeCost(n.a);
    if (n.kind == Kind::kOr) {
      for (size_t k = 0; k < n.b; ++k) NodeCost(lists_[n.a + k]);
    }
    if (n.kind == Kind::kAnd) IsLive(spine[i]);
    nodes_[spine[i]].cost = n.kind == Kind::kMultiple ? IsLive(spine[i]),
    nodes_[spine[i]].cost                             : CostNow(nodes_[spine[i]]);
  }
  return nodes_[t].cost;
}

void Terms::CollectSets(Term root, std::vector<ByteSet>* sets, std::vector<uint8_t>* all) const {
  std::vector<Term> work = {root}, seen;
  while (!work.empty()) {
    const Term t = work.back();
    work.pop_back();
    if (std::find(seen.begin(), seen.end(), t) != seen.end()) continue;
    seen.push_back(t);
    const Node& n = nodes_[t];
    switch (n.kind) {
      case Kind::kBytes:
        sets->push_back(sets_[n.a]);
        break;
      case Kind::kLiteral:
        for (char c : Text(n)) {
          ByteSet one;
          one.Add(static_cast<uint8_t>(c));
          sets->push_back(one);
        }
        break;
      case Kind::kConcat:
        work.push_back(n.b);
        work.push_back(n.a);
        break;
      case Kind::kOr:
      case Kind::kAnd:
        for (Term part : List(n)) work.push_back(part);
        break;
      case Kind::kNot:
      case Kind::kRepeat:
        work.push_back(n.a);
        break;
      case Kind::kMultiple:
        for (uint8_t c = '0'; c <= '9'; ++c) {
          ByteSet one;
          one.Add(c);
          sets->push_back(one);
        }
        break;
      case Kind::kStates:
        all->push_back(1);
        break;
      default:
        break;
    }
  }
}

// A byte of each kind that the term tells apart.
std::vector<uint8_t> Terms::Representatives(Term root) const {
  std::vector<ByteSet> sets;
  std::vector<uint8_t> all;
  CollectSets(root, &sets, &all);
  std::vector<uint8_t> out;
  if (!all.empty()) {
    for (unsigned b = 0; b < 256; ++b) out.push_back(static_cast<uint8_t>(b));
    return out;
  }
  std::array<uint16_t, 256> group{};
  uint16_t n_groups = 1;
  for (const ByteSet& set : sets) {
    std::array<uint16_t, 512> to{};
    uint16_t fresh = 0;
    std::array<uint16_t, 256> next{};
    std::array<bool, 512> known{};
    for (unsigned b = 0; b < 256; ++b) {
      const size_t key = group[b] * 2u + (set.Has(static_cast<uint8_t>(b)) ? 1 : 0);
      if (!known[key]) {
        known[key] = true;
        to[key] = fresh++;
      }
      next[b] = to[key];
    }
    group = next;
    n_groups = fresh;
    if (n_groups == 256) break;
  }
  std::array<bool, 256> seen{};
  for (unsigned b = 0; b < 256; ++b) {
    if (!std::exchange(seen[group[b]], true)) out.push_back(static_cast<uint8_t>(b));
  }
  return out;
}

// Appends the string that costs least; false where it cannot be read off, or is long.
bool Terms::Shortest(Term t, std::string* out) {
  constexpr size_t kLongest = 1024;
  if (out->size() > kLongest || NodeCost(t) > kLongest) return false;
  const Node n = nodes_[t];
  switch (n.kind) {
    case Kind::kEmpty:
      return true;
    case Kind::kBytes:
      out->push_back(static_cast<char>(sets_[n.a].First()));
      return true;
    case Kind::kLiteral:
      out->append(Text(n));
      return true;
    case Kind::kConcat:
      for (; nodes_[t].kind == Kind::kConcat; t = nodes_[t].b) {
        if (!Shortest(nodes_[t].a, out)) return false;
      }
      return Shortest(t, out);
    case Kind::kOr: {
      Term best = lists_[n.a];
      for (uint32_t i = 1; i < n.b; ++i) {
        if (NodeCost(lists_[n.a + i]) < NodeCost(best)) best = lists_[n.a + i];
      }
      return Shortest(best, out);
    }
    case Kind::kRepeat:
      for (uint32_t i = 0; i < n.min; ++i) {
        if (!Shortest(n.a, out)) return false;
      }
      return true;
    default:
      return false;
  }
}

// Looks for the nearest end, by width. What lies on the way to it is alive; if there is none, all
// that was seen is dead.
uint32_t Terms::Length(Term t) {
  std::string text;
  if (Shortest(t, &text)) return static_cast<uint32_t>(text.size());
  return kUnbounded;
}

bool Terms::IsLive(Term root) {
  if (nodes_[root].live == Live::kNo) return false;
  if (nodes_[root].live == Live::kYes && nodes_[root].cost != kUnbounded) return true;
  struct Seen {
    Term term;
    uint32_t parent;
  };
  const auto needs_look = [&](Term t) {
    const Kind kind = nodes_[t].kind;
    return kind == Kind::kAnd || kind == Kind::kMultiple;
  };
  std::vector<Seen> seen = {{root, 0}};
  std::unordered_map<Term, uint32_t> index = {{root, 0}};
  const auto found = [&](uint32_t at, uint32_t cost, uint32_t length) {
    for (;; at = seen[at].parent, cost = AddCost(cost, 1), length = AddCost(length, 1)) {
      Node& n = nodes_[seen[at].term];
      n.live = Live::kYes;
      n.cost = std::min(n.cost, cost);
      n.length = std::min(n.length, length);
      if (at == 0) return true;
    }
  };
  // Mostly the shortest string of one part is one of them all.
  for (uint32_t i = 0; nodes_[root].kind == Kind::kAnd && i < nodes_[root].b; ++i) {
    std::string text;
    if (!Shortest(lists_[nodes_[root].a + i], &text)) continue;
    bool is_on = true;
    for (size_t k = 0; k < text.size() && is_on && needs_look(seen[k].term); ++k) {
      const Term next = Compute(seen[k].term, static_cast<uint8_t>(text[k]), true);
      is_on = next != kNever && nodes_[next].live != Live::kNo;
      if (is_on) seen.push_back({next, static_cast<uint32_t>(k)});
    }
    const auto last = static_cast<uint32_t>(seen.size() - 1);
    const Term end = seen[last].term;
    if (nodes_[end].nullable) return found(last, 0, 0);
    if (!needs_look(end) && NodeCost(end) != kUnbounded)
      return found(last, NodeCost(end), Length(end));
    seen.resize(1);
  }
  for (uint32_t at = 0; at < seen.size(); ++at) {
    const Term t = seen[at].term;
    if (nodes_[t].nullable) return found(at, 0, 0);
    const ByteSet possible = FrontBytes(t, false);
    for (uint8_t byte : Representatives(t)) {
      if (!possible.Has(byte)) continue;
      const Term d = Compute(t, byte, true);
      if (!status_.ok()) return false;
      if (d == kNever || nodes_[d].live == Live::kNo) continue;
      if (!needs_look(d)) {
        if (NodeCost(d) == kUnbounded) continue;  // an intersection in it has no string
        return found(at, AddCost(1, NodeCost(d)), AddCost(1, Length(d)));
      }
      if (nodes_[d].live == Live::kYes && nodes_[d].cost != kUnbounded)
        return found(at, AddCost(1, nodes_[d].cost), AddCost(1, nodes_[d].length));
      if (!index.try_emplace(d, static_cast<uint32_t>(seen.size())).second) continue;
      seen.push_back({d, at});
      if (seen.size() > limits_.max_explored) {
        Fail(Code::kInvalid,
             fmt::format(
                 "whether {} has a string at all could not be found in {} steps; make it simpler",
                 Print(root), limits_.max_explored));
        return false;
      }
    }
  }
  for (const Seen& s : seen) nodes_[s.term].live = Live::kNo;
  return false;
}

Term Terms::Checked(Term t) { return nodes_[t].kind != Kind::kAnd || IsLive(t) ? t : kNever; }

Term Terms::DeriveNew(Term t, uint8_t byte) {
  if (!rows_[t]) {
    if (rows_used_ % kRowsPerBlock == 0) {
      row_blocks_.push_back(std::make_unique_for_overwrite<uint32_t[]>(kRowsPerBlock * 256));
      std::fill_n(row_blocks_.back().get(), kRowsPerBlock * 256, kUnknown);
    }
    rows_[t] = row_blocks_.back().get() + rows_used_++ % kRowsPerBlock * 256;
  }
  uint32_t* row = rows_[t];
  if (row[byte] == kUnknown) row[byte] = Compute(t, byte, false);
  return row[byte];
}

Term Terms::Derive(Term t, std::string_view bytes) {
  for (char c : bytes) {
    t = Derive(t, static_cast<uint8_t>(c));
    if (t == kNever) break;
  }
  return t;
}

Term Terms::DeriveConcat(Term t, uint8_t byte, bool raw) {
  std::vector<Term> alternatives;
  for (;;) {
    const Node n = nodes_[t];
    if (n.kind != Kind::kConcat) {
      alternatives.push_back(Compute(t, byte, raw));
      break;
    }
    const Term head = Compute(n.a, byte, raw);
    if (head != kNever) alternatives.push_back(Concat(head, n.b));
    if (!nodes_[n.a].nullable) break;
    t = n.b;
  }
  return alternatives.size() == 1 ? alternatives[0] : Or(alternatives);
}

// The derivative. `raw`: intersections in it are not looked into, for whoever explores them.
Term Terms::Compute(Term t, uint8_t byte, bool raw) {
  const Node n = nodes_[t];  // a copy: nodes_ grows
  if (!status_.ok() || n.live == Live::kNo) return kNever;
  if (depth_ >= kMaxDepth)
    return Fail(Code::kInvalid, "the grammar is nested too deep; make it flatter");
  ++depth_;
  Term result = kNever;
  switch (n.kind) {
    case Kind::kNever:
    case Kind::kEmpty:
      break;
    case Kind::kBytes:
      result = sets_[n.a].Has(byte) ? kEmpty : kNever;
      break;
    case Kind::kLiteral:
      if (static_cast<uint8_t>(pool_[n.a]) == byte) result = LiteralTail(t);
      break;
    case Kind::kConcat:
      result = DeriveConcat(t, byte, raw);
      break;
    case Kind::kOr: {
      std::vector<Term> alternatives;
      for (uint32_t i = 0; i < n.b; ++i) {
        const Term d = Compute(lists_[n.a + i], byte, raw);
        if (d != kNever) alternatives.push_back(d);
      }
      if (!alternatives.empty())
        result = alternatives.size() == 1 ? alternatives[0] : Or(alternatives);
      break;
    }
    case Kind::kAnd: {
      std::vector<Term> parts;
      for (uint32_t i = 0; i < n.b; ++i) {
        parts.push_back(Compute(lists_[n.a + i], byte, raw));
        if (Dead(parts.back())) break;
      }
      result = Dead(parts.back()) ? kNever : RawAnd(std::move(parts));
      if (!raw) result = Checked(result);
      break;
    }
    case Kind::kNot:
      result = Not(Compute(n.a, byte, true));
      break;
    case Kind::kRepeat: {
      const Term head = Compute(n.a, byte, raw);
      if (head == kNever) break;
      result = Concat(head, Repeat(n.a, n.min > 0 ? n.min - 1 : 0,
                                   n.max == kUnbounded ? kUnbounded : n.max - 1));
      break;
    }
    case Kind::kRule:
      result = Compute(rules_[n.a].body, byte, raw);
      break;
    case Kind::kMultiple:
      if (byte == '.' && n.min) result = t;
      if (byte >= '0' && byte <= '9') {
        const uint64_t rest = (uint64_t{n.b} * 10 + (byte - '0')) % n.a;
        result = Intern({.kind = Kind::kMultiple,
                         .nullable = rest == 0,
                         .height = 1,
                         .a = n.a,
                         .b = static_cast<uint32_t>(rest),
                         .min = 1});
      }
      break;
    case Kind::kStates: {
      const uint32_t next = automata_[n.a]->Next(n.b, byte);
      if (next != Automaton::kDead) {
        result = States(automata_[n.a], next);
      } else if (Status status = automata_[n.a]->status(); !status.ok()) {
        Fail(status.code(), status.message());
      }
      break;
    }
  }
  --depth_;
  return status_.ok() ? result : kNever;
}

// The bytes that may come first; where not `exact`, by the looks of the parts of an intersection,
// which is quick, and some of them may not.
ByteSet Terms::FrontBytes(Term t, bool exact) {
  ByteSet set;
  std::vector<Term> work = {t};
  while (!work.empty()) {
    const Term u = work.back();
    const Node n = nodes_[u];
    work.pop_back();
    if (Dead(u)) continue;
    switch (n.kind) {
      case Kind::kNever:
      case Kind::kEmpty:
        break;
      case Kind::kBytes:
        set = set | sets_[n.a];
        break;
      case Kind::kLiteral:
        set.Add(static_cast<uint8_t>(pool_[n.a]));
        break;
      case Kind::kConcat:
        work.push_back(n.a);
        if (nodes_[n.a].nullable) work.push_back(n.b);
        break;
      case Kind::kOr:
        for (Term part : List(n)) work.push_back(part);
        break;
      case Kind::kRepeat:
        work.push_back(n.a);
        break;
      case Kind::kRule:
        work.push_back(rules_[n.a].body);
        break;
      case Kind::kMultiple:
      case Kind::kAnd:
      case Kind::kNot: {
        ByteSet possible = ~ByteSet();
        for (uint32_t i = 0; n.kind == Kind::kAnd && i < n.b; ++i)
          possible = possible & FrontBytes(lists_[n.a + i], false);
        if (n.kind == Kind::kMultiple) {
          possible = ByteSet::Range('0', '9');
          possible.Add('.');
        }
        for (unsigned b = 0; exact && b < 256; ++b) {
          const auto byte = static_cast<uint8_t>(b);
          if (possible.Has(byte) && !set.Has(byte) && Derive(u, byte) != kNever) set.Add(byte);
        }
        if (!exact) set = set | possible;
        break;
      }
      case Kind::kStates:
        set = set | automata_[n.a]->First(n.b);
        break;
    }
  }
  return set;
}

// What of a document goes together with any number of digits may be nothing, or be found late: the
// counts stay.
bool Terms::OfStates(const Node& n) const {
  const auto list = List(n);
  return std::any_of(list.begin(), list.end(),
                     [&](Term part) { return nodes_[part].kind == Kind::kStates; });
}

Term Terms::Open(Term t) {
  if (const auto it = opened_.find(t); it != opened_.end()) return it->second;
  const Node n = nodes_[t];
  Term result = t;
  if (n.kind == Kind::kRepeat) {
    result = Repeat(n.a, n.min, kUnbounded);
  } else if (n.kind == Kind::kConcat) {
    std::vector<Term> parts;
    for (; parts.size() < kFirstParts && nodes_[result].kind == Kind::kConcat;
         result = nodes_[result].b)
      parts.push_back(Open(nodes_[result].a));
    if (parts.size() < kFirstParts) result = Open(result);
    for (size_t i = parts.size(); i-- > 0;) result = Concat(parts[i], result);
  } else if (n.kind == Kind::kOr) {
    std::vector<Term> alternatives;
    for (uint32_t i = 0; i < n.b; ++i) alternatives.push_back(Open(lists_[n.a + i]));
    result = Or(alternatives);
  } else if (n.kind == Kind::kAnd && !OfStates(n)) {
    std::vector<Term> parts;
    for (uint32_t i = 0; i < n.b; ++i) parts.push_back(Open(lists_[n.a + i]));
    result = Checked(RawAnd(std::move(parts)));
  }
  opened_.emplace(t, result);
  return result;
}

uint32_t Terms::BeginLength(Term t) const {
  while (nodes_[t].kind == Kind::kConcat) t = nodes_[t].a;
  const Node& n = nodes_[t];
  if (n.kind == Kind::kAnd) return OfStates(n) ? 0 : n.length;
  uint32_t most = 0;
  if (n.kind == Kind::kOr) {
    for (Term part : List(n)) most = std::max(most, BeginLength(part));
  }
  return most;
}

uint32_t Terms::LeastCount(Term t) const {
  const Node& n = nodes_[t];
  uint32_t least = kUnbounded;
  if (n.kind == Kind::kRepeat) return n.max;
  if (n.kind == Kind::kOr || (n.kind == Kind::kAnd && !OfStates(n))) {
    for (Term part : List(n)) least = std::min(least, LeastCount(part));
  }
  for (size_t i = 0; i <= kFirstParts && nodes_[t].kind == Kind::kConcat; ++i, t = nodes_[t].b) {
    if (i < kFirstParts) least = std::min(least, LeastCount(nodes_[t].a));
    if (i + 1 < kFirstParts && nodes_[nodes_[t].b].kind != Kind::kConcat)
      least = std::min(least, LeastCount(nodes_[t].b));
  }
  return least;
}

uint32_t Terms::LeadingRepeats(Term t) const {
  uint32_t most = 0;
  std::vector<Term> work = {t};
  while (!work.empty()) {
    const Node& n = nodes_[work.back()];
    work.pop_back();
    if (n.kind == Kind::kRepeat && std::find(wide_.begin(), wide_.end(), n.a) != wide_.end())
      most = std::max(most, n.max);
    if (n.kind == Kind::kConcat) work.push_back(n.a);
    if (n.kind == Kind::kOr) {
      for (Term part : List(n)) work.push_back(part);
    }
    if (n.kind == Kind::kRule) work.push_back(rules_[n.a].body);
  }
  return most;
}

Term Terms::SplitStates(Term t, std::vector<Front>* fronts) {
  const Node n = nodes_[t];
  const auto split = [&](Term head, Term behind) {
    std::vector<Front> inner;
    const Term rest = SplitStates(head, &inner);
    for (const Front& f : inner)
      fronts->push_back({f.automaton, f.state, Concat(f.behind, behind)});
    return inner.empty() ? std::pair(head, false) : std::pair(rest, true);
  };
  if (n.kind == Kind::kStates) {
    fronts->push_back({automata_[n.a].get(), n.b, kEmpty});
    return kNever;
  }
  if (n.kind == Kind::kConcat) {
    const auto [rest, found] = split(n.a, n.b);
    return found ? Concat(rest, n.b) : t;
  }
  if (n.kind == Kind::kOr) {
    std::vector<Term> others;
    const size_t before = fronts->size();
    for (uint32_t i = 0; i < n.b; ++i) others.push_back(SplitStates(lists_[n.a + i], fronts));
    return fronts->size() == before ? t : Or(others);
  }
  return t;
}

size_t Terms::bytes() const {
  size_t automata = 0;
  for (const auto& automaton : automata_) automata += automaton->bytes();
  return automata + nodes_.capacity() * (sizeof(Node) + sizeof(uint32_t*)) +
         table_.size() * sizeof(uint32_t) + row_blocks_.size() * kRowsPerBlock * 1024 +
         pool_.capacity() + lists_.capacity() * sizeof(Term) + sets_.capacity() * sizeof(ByteSet);
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
