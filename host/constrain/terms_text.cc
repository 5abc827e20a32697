#include <algorithm>
#include <array>
#include <utility>

#include "constrain/term_cost.h"
#include "constrain/terms.h"

namespace minnow::constrain {

namespace {

constexpr size_t kMostLooks = 1000;  // at terms, for what one state is like

}  // namespace

// What of a document goes together with any number of digits may be nothing, or be found late: the
// counts stay.
bool Terms::OfStates(const Node& n) const {
  const auto list = List(n);
  return std::any_of(list.begin(), list.end(),
                     [&](Term part) { return nodes_[part].kind == Kind::kStates; });
}

// Does Open forget the count of this repetition? Not of a few digits, say, which is worth less
// than what forgetting it costs; nor whether it may be left out, unless text begins with it.
bool Terms::Opens(const Node& repeat, bool at_front) {
  constexpr uint32_t kFew = 8;
  constexpr int kText = 48;
  if (repeat.max > kFew) return true;
  const Loop& alone = Alone(repeat.a);
  const bool is_text = alone.beyond || alone.stay.Count() >= kText;
  return is_text && (at_front || repeat.max > 1);
}

Term Terms::Open(Term t, bool at_front) {
  auto& opened = opened_[at_front ? 1 : 0];
  if (const auto it = opened.find(t); it != opened.end()) return it->second;
  const Node n = nodes_[t];
  Term result = t;
  if (n.kind == Kind::kRepeat) {
    if (Opens(n, at_front)) {
      result = Repeat(n.a, n.min, kUnbounded);
    } else if (n.max == 1) {
      result = Repeat(Open(n.a, at_front), n.min, 1);
    }
  } else if (n.kind == Kind::kConcat) {
    std::vector<Term> parts;
    for (; parts.size() < kFirstParts && nodes_[result].kind == Kind::kConcat;
         result = nodes_[result].b)
      parts.push_back(Open(nodes_[result].a, at_front && parts.empty()));
    if (parts.size() < kFirstParts) result = Open(result, false);
    for (size_t i = parts.size(); i-- > 0;) result = Concat(parts[i], result);
  } else if (n.kind == Kind::kOr) {
    std::vector<Term> alternatives;
    for (uint32_t i = 0; i < n.b; ++i) alternatives.push_back(Open(lists_[n.a + i], at_front));
    result = Or(alternatives);
  } else if (n.kind == Kind::kAnd && !OfStates(n)) {
    std::vector<Term> parts;
    for (uint32_t i = 0; i < n.b; ++i) parts.push_back(Open(lists_[n.a + i], at_front));
    result = Checked(RawAnd(std::move(parts)));
  }
  opened.emplace(t, result);
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

// Of its strings; rules and intersections are not looked into.
uint32_t Terms::LeastBytes(Term t) {
  if (const auto it = least_bytes_.find(t); it != least_bytes_.end()) return it->second;
  const Node n = nodes_[t];
  uint32_t least = n.nullable ? 0 : 1;
  if (n.kind == Kind::kLiteral) least = n.b;
  if (n.kind == Kind::kRepeat) least = TimesCost(LeastBytes(n.a), n.min);
  if (n.kind == Kind::kConcat) {  // which may be long
    least = 0;
    Term rest = t;
    for (; nodes_[rest].kind == Kind::kConcat; rest = nodes_[rest].b)
      least = AddCost(least, LeastBytes(nodes_[rest].a));
    least = AddCost(least, LeastBytes(rest));
  }
  if (n.kind == Kind::kOr) {
    least = kUnbounded;
    for (uint32_t i = 0; i < n.b; ++i) least = std::min(least, LeastBytes(lists_[n.a + i]));
  }
  least_bytes_.emplace(t, least);
  return least;
}

uint32_t Terms::LeastCount(Term t, bool at_front) {
  auto& least_counts = least_counts_[at_front ? 1 : 0];
  if (const auto it = least_counts.find(t); it != least_counts.end()) return it->second;
  const Node n = nodes_[t];
  uint32_t least = kUnbounded;
  if (n.kind == Kind::kRepeat) {
    if (!Opens(n, at_front)) {
      least = n.max == 1 ? LeastCount(n.a, at_front) : kUnbounded;
    } else if (n.max != kUnbounded) {
      least = TimesCost(std::max(LeastBytes(n.a), 1u), n.max);
    }
  } else if (n.kind == Kind::kConcat) {
    Term rest = t;
    size_t i = 0;
    uint32_t before = 0;  // bytes that come to a part at least
    for (; i < kFirstParts && nodes_[rest].kind == Kind::kConcat; ++i, rest = nodes_[rest].b) {
      const Term part = nodes_[rest].a;
      least = std::min(least, AddCost(before, LeastCount(part, at_front && i == 0)));
      before = AddCost(before, LeastBytes(part));
    }
    if (i < kFirstParts) least = std::min(least, AddCost(before, LeastCount(rest, false)));
  } else if (n.kind == Kind::kOr || (n.kind == Kind::kAnd && !OfStates(n))) {
    for (uint32_t i = 0; i < n.b; ++i)
      least = std::min(least, LeastCount(lists_[n.a + i], at_front));
  }
  least_counts.emplace(t, least);
  return least;
}

// Of a term that is repeated: the bytes that are one of it each, and whether the characters beyond
// ASCII are.
const Terms::Loop& Terms::Alone(Term t) {
  if (const auto it = alone_.find(t); it != alone_.end()) return it->second;
  Loop loop;
  if (PossibleFirst(t).Count() >= 2) {
    const Groups groups = GroupsOf(t);
    std::vector<Term> next;
    for (uint8_t byte : groups.first) next.push_back(Derive(t, byte));
    for (uint8_t b = 1; b < 0x7F; ++b) {
      if (next[groups.of[b]] == kEmpty) loop.stay.Add(b);
    }
    loop.beyond = LoopsBeyond(t, kEmpty);
  }
  return alone_.emplace(t, loop).first->second;
}

// Does every character beyond ASCII lead from `t` to `to`, but perhaps U+2028 and U+2029?
bool Terms::LoopsBeyond(Term t, Term to) {
  struct Step {
    Term from;
    uint8_t first, last, left;  // of the bytes that come next; how many come then
    uint8_t lines;              // how many bytes of the way to U+2028 came
  };
  constexpr std::array<Step, 8> kLeads = {{{0, 0xC2, 0xDF, 1, 0},
                                           {0, 0xE0, 0xE0, 2, 0},
                                           {0, 0xE1, 0xEC, 2, 0},
                                           {0, 0xED, 0xED, 2, 0},
                                           {0, 0xEE, 0xEF, 2, 0},
                                           {0, 0xF0, 0xF0, 3, 0},
                                           {0, 0xF1, 0xF3, 3, 0},
                                           {0, 0xF4, 0xF4, 3, 0}}};
  const ByteSet possible = PossibleFirst(t);
  for (unsigned b = 0xC2; b <= 0xF4; ++b) {
    if (!possible.Has(static_cast<uint8_t>(b))) return false;
  }
  std::vector<Step> work;
  for (Step step : kLeads) {
    step.from = t;
    work.push_back(step);
  }
  std::vector<Step> seen;
  while (!work.empty()) {
    const Step step = work.back();
    work.pop_back();
    const auto is_same = [&](const Step& s) {
      return s.from == step.from && s.first == step.first && s.last == step.last &&
             s.left == step.left && s.lines == step.lines;
    };
    if (std::any_of(seen.begin(), seen.end(), is_same)) continue;
    seen.push_back(step);
    const Groups groups = GroupsOf(step.from);
    std::array<bool, 256> done{};  // by group
    for (unsigned b = step.first; b <= step.last; ++b) {
      const bool is_lead = step.from == t;
      const uint8_t lines = is_lead && b == 0xE2 ? 1 : step.lines == 1 && b == 0x80 ? 2 : 0;
      if (step.lines == 2 && (b == 0xA8 || b == 0xA9)) continue;
      if (done[groups.of[b]]) continue;
      done[groups.of[b]] = lines == 0;
      const Term next = Derive(step.from, static_cast<uint8_t>(b));
      if (step.left == 0 ? next != to : next == kNever) return false;
      if (step.left == 0) continue;
      Step then = {next, 0x80, 0xBF, static_cast<uint8_t>(step.left - 1), lines};
      if (is_lead && b == 0xE0) then.first = 0xA0;
      if (is_lead && b == 0xED) then.last = 0x9F;
      if (is_lead && b == 0xF0) then.first = 0x90;
      if (is_lead && b == 0xF4) then.last = 0x8F;
      work.push_back(then);
    }
  }
  return true;
}

const Terms::Loop& Terms::LoopOf(Term t) {
  constexpr int kFew = 8;  // bytes that may come first: nothing is to be gained
  if (const auto it = loops_.find(t); it != loops_.end()) return it->second;
  const Node n = nodes_[t];
  Loop loop;
  if (PossibleFirst(t).Count() >= kFew && status_.ok()) {
    switch (n.kind) {
      case Kind::kRule:
        loop = LoopOf(rules_[n.a].body);
        break;
      case Kind::kConcat:
        loop = Followed(LoopOf(n.a), n.b);
        break;
      case Kind::kRepeat:
        loop = Repeated(t);
        break;
      case Kind::kOr:
        loop = Choose(t);
        break;
      case Kind::kAnd:
        loop = Join(t);
        break;
      default:  // of a complement, see below
        break;
    }
    const Kind head = n.kind == Kind::kConcat ? nodes_[n.a].kind : n.kind;
    if (!loop.empty()) {
      loop.leave = Leaving(t, loop);
      NoteLoop(t, loop);
    } else if (head != Kind::kBytes && head != Kind::kLiteral) {
      loop = Explore(t);
    }
  }
  return loops_.emplace(t, loop).first->second;
}

// Of a repetition without a least number, which nothing behind disturbs, derivatives are known.
void Terms::NoteLoop(Term t, const Loop& loop) {
  const Node n = nodes_[t];
  const Node head = n.kind == Kind::kConcat ? nodes_[n.a] : n;
  if (head.kind != Kind::kRepeat || head.min > 0 || head.max != kUnbounded) return;
  if (Alone(head.a).empty() || (n.kind == Kind::kConcat && Meets(n.b, loop))) return;
  for (uint8_t b = 1; b < 0x7F; ++b) {
    if (loop.stay.Has(b)) Row(t)[b] = t;
  }
}

ByteSet Terms::Loop::text() const {
  ByteSet set = stay;
  if (beyond) set.words[2] = set.words[3] = ~uint64_t{0};
  return set;
}

// The bytes out of the loop that may come after some of its text, none included.
ByteSet Terms::Leaving(Term root, const Loop& loop) {
  const ByteSet text = loop.text();
  ByteSet out;
  std::vector<Term> work = {root}, seen;
  while (!work.empty()) {
    const Term t = work.back();
    work.pop_back();
    if (std::find(seen.begin(), seen.end(), t) != seen.end()) continue;
    if (seen.size() == kMostLooks) return ~text;
    seen.push_back(t);
    const Node& n = nodes_[t];
    switch (n.kind) {
      case Kind::kNever:
      case Kind::kEmpty:
        break;
      case Kind::kBytes:
        out = out | sets_[n.a];
        break;
      case Kind::kLiteral:
        for (char c : Text(n)) {
          out.Add(static_cast<uint8_t>(c));
          if (!text.Has(static_cast<uint8_t>(c))) break;
        }
        break;
      case Kind::kConcat:
        work.push_back(n.a);
        if (MayBeText(n.a, text, 0)) work.push_back(n.b);
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
      case Kind::kAnd: {
        // What one part does not let pass the intersection does not.
        const auto list = List(n);
        const auto part = std::ranges::find_if(list, [&](Term p) {
          return nodes_[p].kind != Kind::kNot && nodes_[p].kind != Kind::kStates;
        });
        if (part == list.end()) return ~text;
        work.push_back(*part);
        break;
      }
      default:
        return ~text;
    }
  }
  return out & ~text;
}

// Could it be all of it text? Perhaps not, where it is said so: far inside nobody looks.
bool Terms::MayBeText(Term t, const ByteSet& text, uint32_t depth) const {
  constexpr uint32_t kDeepest = 6;
  const Node& n = nodes_[t];
  if (depth > kDeepest) return true;
  switch (n.kind) {
    case Kind::kBytes:
      return !(sets_[n.a] & text).empty();
    case Kind::kLiteral:
      return std::ranges::all_of(Text(n),
                                 [&](char c) { return text.Has(static_cast<uint8_t>(c)); });
    case Kind::kConcat:
      for (; nodes_[t].kind == Kind::kConcat; t = nodes_[t].b) {
        if (!MayBeText(nodes_[t].a, text, depth + 1)) return false;
      }
      return MayBeText(t, text, depth + 1);
    case Kind::kOr:
      return std::ranges::any_of(List(n),
                                 [&](Term part) { return MayBeText(part, text, depth + 1); });
    case Kind::kRepeat:
      return n.min == 0 || MayBeText(n.a, text, depth + 1);
    default:
      return true;
  }
}

// At its front.
bool Terms::HasAnd(Term root) const {
  std::vector<Term> work = {root}, seen;
  while (!work.empty()) {
    const Term t = work.back();
    const Node& n = nodes_[t];
    work.pop_back();
    if (std::find(seen.begin(), seen.end(), t) != seen.end()) continue;
    seen.push_back(t);
    if (n.kind == Kind::kAnd) return true;
    if (n.kind == Kind::kConcat || n.kind == Kind::kRepeat) work.push_back(n.a);
    if (n.kind == Kind::kConcat && nodes_[n.a].nullable) work.push_back(n.b);
    if (n.kind == Kind::kOr) work.insert(work.end(), List(n).begin(), List(n).end());
    if (n.kind == Kind::kRule) work.push_back(rules_[n.a].body);
  }
  return false;
}

// The loop of what stands before `rest`.
Terms::Loop Terms::Followed(const Loop& head, Term rest) {
  if (head.empty()) return {};
  Loop loop = head;
  loop.cost = AddCost(loop.cost, Cost(rest));
  loop.part = Concat(loop.part, rest);
  return loop;
}

// Of characters, without an end, or of a first one that has a loop.
Terms::Loop Terms::Repeated(Term repeat) {
  const Node n = nodes_[repeat];
  if (n.max != kUnbounded || Alone(n.a).empty())
    return Followed(LoopOf(n.a), Repeat(n.a, n.min > 0 ? n.min - 1 : 0,
                                        n.max == kUnbounded ? kUnbounded : n.max - 1));
  Loop loop = Alone(n.a);
  loop.cost = Cost(repeat);
  loop.part = repeat;
  return loop;
}

// Of an intersection: what all parts loop with, if there is a string in all that they keep.
Terms::Loop Terms::Join(Term intersection) {
  const Node n = nodes_[intersection];
  if (OfStates(n)) return {};
  Loop joined;
  std::vector<Term> parts;
  for (uint32_t i = 0; i < n.b; ++i) {
    const Term part = lists_[n.a + i];
    const Loop& loop = LoopOf(part);
    if (loop.empty()) return {};
    joined.stay = i == 0 ? loop.stay : joined.stay & loop.stay;
    joined.beyond = (i == 0 || joined.beyond) && loop.beyond;
    parts.push_back(loop.part);
  }
  joined.part = Checked(RawAnd(parts));
  if (joined.part == kNever || joined.empty()) return {};
  joined.cost = Cost(joined.part);
  joined.length = BeginLength(joined.part);
  return joined;
}

// Of a choice, the loop of the alternative that takes most.
Terms::Loop Terms::Choose(Term choice) {
  const Node n = nodes_[choice];
  const auto size = [](const Loop& loop) { return loop.text().Count(); };
  Loop best;
  uint32_t cost = 0, length = 0;
  for (uint32_t i = 0; i < n.b; ++i) {
    const Term part = lists_[n.a + i];
    const Loop& loop = LoopOf(part);
    // What becomes of an intersection meanwhile is not known.
    if (loop.empty() && HasAnd(part)) return {};
    // Any of them may be what is left where counts are not forgotten.
    cost = std::max(cost, loop.cost);
    length = std::max(length, loop.length);
    if (size(loop) > size(best)) best = loop;
  }
  best.cost = cost;
  best.length = length;
  return best;
}

// By looking where each byte leads.
Terms::Loop Terms::Explore(Term t) {
  Loop loop;
  if (!DeriveAll(t)) return loop;
  const uint32_t* const next = Row(t);  // it stays where it is
  for (uint8_t b = 1; b < 0x7F; ++b) {
    if (next[b] == t) loop.stay.Add(b);
  }
  if (loop.stay.empty()) return loop;
  loop.beyond = LoopsBeyond(t, t);
  const ByteSet text = loop.text();
  for (unsigned b = 0; b < 256; ++b) {
    const auto byte = static_cast<uint8_t>(b);
    if (!text.Has(byte) && next[b] != kNever) loop.leave.Add(byte);
  }
  loop.cost = Cost(t);
  loop.length = BeginLength(t);
  loop.part = t;
  return loop;
}

Terms::Run Terms::RunOf(Term t, const Loop& loop) {
  while (nodes_[t].kind == Kind::kRule) t = rules_[nodes_[t].a].body;
  const Node n = nodes_[t];
  // Of a single character at first, any one that begins such text may come.
  const bool is_one = n.kind == Kind::kConcat && nodes_[n.a].kind == Kind::kBytes;
  size_t left = kMostLooks;
  Run run = RunOfHead(is_one ? n.b : t, loop, &left);
  left = kMostLooks;
  const uint32_t length = std::max(loop.length, BeginLength(t)), least = FrontLeast(t, loop, &left);
  run.bytes = std::max(run.bytes, least == kUnbounded ? least : least - std::min(least, length));
  if (!is_one) return run;
  return {AddCost(run.bytes, 1), AddCost(run.characters, 1), AddCost(run.most, 1)};
}

bool Terms::Meets(Term t, const Loop& loop) { return !(PossibleFirst(t) & loop.text()).empty(); }

// The characters of a literal before one that is not in the loop; kUnbounded: all are, or it is
// none.
uint32_t Terms::TextBegin(Term t, const Loop& loop) const {
  if (nodes_[t].kind != Kind::kLiteral) return kUnbounded;
  const std::string_view literal = Text(nodes_[t]);
  const ByteSet text = loop.text();
  for (size_t i = 0; i < literal.size(); ++i) {
    if (!text.Has(static_cast<uint8_t>(literal[i]))) return static_cast<uint32_t>(i);
  }
  return kUnbounded;
}

// LeastCount of what such text can come to. `left`: terms that are looked at, so that what is in
// one another many times is not looked at as often.
uint32_t Terms::FrontLeast(Term t, const Loop& loop, size_t* left) {
  uint32_t least = kUnbounded;
  for (size_t i = 0; i < kFirstParts && Meets(t, loop); ++i) {
    const Node n = nodes_[t];
    const Term head = n.kind == Kind::kConcat ? n.a : t;
    const Node first = nodes_[head];
    if (TextBegin(head, loop) != kUnbounded) break;  // it does not get behind it
    if (first.kind != Kind::kOr || *left < first.b) {
      least = std::min(least, LeastCount(head, i == 0));
    } else {
      *left -= first.b;
      for (uint32_t k = 0; k < first.b; ++k)
        least = std::min(least, FrontLeast(lists_[first.a + k], loop, left));
    }
    if (n.kind != Kind::kConcat) break;
    t = n.b;
  }
  return least;
}

Terms::Run Terms::RunOfHead(Term t, const Loop& loop, size_t* left) {
  const Node n = nodes_[t];
  if (!Meets(t, loop)) return {0, 0, 0};
  if (*left == 0) return {0, 0, kUnbounded};
  --*left;
  const auto run_of = [&](Term part) { return RunOfHead(part, loop, left); };
  switch (n.kind) {
    case Kind::kRule:
      return run_of(rules_[n.a].body);
    case Kind::kConcat: {
      if (const uint32_t n_text = TextBegin(n.a, loop); n_text != kUnbounded)
        return {0, 0, n_text};  // it does not get behind it
      Run run = run_of(n.a);
      if (Meets(n.b, loop)) run.most = AddCost(run.most, run_of(n.b).most);
      return run;
    }
    case Kind::kOr: {
      Run run = {0, 0, 0};
      for (uint32_t i = 0; i < n.b; ++i) {
        const Run part = run_of(lists_[n.a + i]);
        run.bytes = std::max(run.bytes, part.bytes);
        run.characters = std::max(run.characters, part.characters);
        run.most = std::max(run.most, part.most);
      }
      return run;
    }
    case Kind::kAnd: {
      Run run = {0, 0, kUnbounded};
      for (uint32_t i = 0; i < n.b; ++i) {
        const Term part = lists_[n.a + i];
        if (nodes_[part].kind != Kind::kNot) run.most = std::min(run.most, run_of(part).most);
      }
      const Loop& own = LoopOf(Open(t, true));
      if ((loop.stay & ~own.stay).empty() && (own.beyond || !loop.beyond)) {
        const uint32_t least = LeastCount(t, true);
        run.bytes = least == kUnbounded ? least : least - std::min(least, own.length);
      }
      return run;
    }
    case Kind::kRepeat: {
      const Loop& alone = Alone(n.a);
      const bool covers = (loop.stay & ~alone.stay).empty() && (alone.beyond || !loop.beyond);
      if (covers) return {n.max, n.max, n.max};
      Run run = run_of(n.a);
      if (n.max != 1) run.most = kUnbounded;
      return run;
    }
    case Kind::kLiteral:
      return {0, 0, n.b};
    case Kind::kBytes:
      return {0, 0, 1};
    default:
      return {0, 0, kUnbounded};
  }
}

}  // namespace minnow::constrain
