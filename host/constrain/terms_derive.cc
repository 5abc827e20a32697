#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "constrain/term_cost.h"
#include "constrain/terms.h"

namespace minnow::constrain {

namespace {

constexpr uint32_t kUnknown = kUnbounded;  // in rows of derivatives
constexpr size_t kMaxDepth = 2000;         // of derivatives in one another

}  // namespace

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

// What tells first bytes apart; false: an automaton does.
bool Terms::CollectSets(Term root, std::vector<ByteSet>* sets) const {
  std::vector<Term> work = {root}, seen;
  const auto one = [&](uint8_t byte) {
    ByteSet set;
    set.Add(byte);
    sets->push_back(set);
  };
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
        one(static_cast<uint8_t>(pool_[n.a]));
        break;
      case Kind::kConcat:
        if (nodes_[n.a].nullable) work.push_back(n.b);
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
      case Kind::kRule:
        work.push_back(rules_[n.a].body);
        break;
      case Kind::kMultiple:
        for (uint8_t c = '0'; c <= '9'; ++c) one(c);
        one('.');
        break;
      case Kind::kStates:
        return false;
      default:
        break;
    }
  }
  return true;
}

Terms::Groups Terms::GroupsOf(Term root) const {
  Groups groups;
  std::vector<ByteSet> sets;
  if (!CollectSets(root, &sets)) {
    for (unsigned b = 0; b < 256; ++b) {
      groups.of[b] = static_cast<uint8_t>(b);
      groups.first.push_back(static_cast<uint8_t>(b));
    }
    return groups;
  }
  std::vector<ByteSet> parts = {~ByteSet()};
  for (const ByteSet& set : sets) {
    for (size_t i = parts.size(); i-- > 0;) {
      const ByteSet inside = parts[i] & set, outside = parts[i] & ~set;
      if (inside.empty() || outside.empty()) continue;
      parts[i] = inside;
      parts.push_back(outside);
    }
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    groups.first.push_back(parts[i].First());
    for (size_t w = 0; w < parts[i].words.size(); ++w) {
      for (uint64_t bits = parts[i].words[w]; bits != 0; bits &= bits - 1)
        groups.of[w * 64 + static_cast<size_t>(std::countr_zero(bits))] = static_cast<uint8_t>(i);
    }
  }
  return groups;
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
    for (uint8_t byte : GroupsOf(t).first) {
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

uint32_t* Terms::Row(Term t) {
  if (!rows_[t]) {
    if (rows_used_ % kRowsPerBlock == 0) {
      row_blocks_.push_back(std::make_unique_for_overwrite<uint32_t[]>(kRowsPerBlock * 256));
      std::fill_n(row_blocks_.back().get(), kRowsPerBlock * 256, kUnknown);
    }
    rows_[t] = row_blocks_.back().get() + rows_used_++ % kRowsPerBlock * 256;
  }
  return rows_[t];
}

Term Terms::DeriveNew(Term t, uint8_t byte) {
  uint32_t* row = Row(t);
  if (row[byte] == kUnknown) row[byte] = Compute(t, byte, false);
  return row[byte];
}

bool Terms::DeriveAll(Term t) {
  if (t >= all_derived_.size()) all_derived_.resize(nodes_.size());
  if (all_derived_[t]) return true;
  const Groups groups = GroupsOf(t);
  if (groups.first.size() == 256) return false;
  std::vector<Term> next;
  for (uint8_t byte : groups.first) next.push_back(Derive(t, byte));
  uint32_t* const row = Row(t);
  for (size_t b = 0; b < 256; ++b) row[b] = next[groups.of[b]];
  all_derived_[t] = status_.ok();
  return status_.ok();
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
  if (++work_ > limits_.max_work) {
    return Fail(Code::kExhausted,
                "what may come next takes too long to find; make the grammar simpler, with fewer "
                "repetitions in one another");
  }
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

ByteSet Terms::PossibleFirst(Term t) {
  if (const auto it = possible_.find(t); it != possible_.end()) return it->second;
  return possible_.emplace(t, FrontBytes(t, false)).first->second;
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

}  // namespace minnow::constrain
