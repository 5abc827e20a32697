#include <algorithm>
#include <deque>
#include <utility>

#include "constrain/term_cost.h"
#include "constrain/terms.h"

namespace minnow::constrain {

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

}  // namespace minnow::constrain
