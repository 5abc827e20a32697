#include "engine/speculation.h"

#include <algorithm>

namespace minnow::engine {

namespace {

constexpr double kAssumed = 0.7, kAssumedWeight = 2;  // of a kind that nothing is known of
constexpr double kSharedWeight = 3;                   // of what other requests taught
constexpr double kSharedMemory = 64, kOwnMemory = 24;
constexpr double kLeast = 0.01, kMost = 0.98;
constexpr double kGain = 1.02;         // less is not told from noise
constexpr double kProbeShare = 0.015;  // of the time in which nothing is drafted
constexpr size_t kProbeRows = 4;
constexpr uint64_t kFreshSteps = 100;  // after so many the plain step is timed again

}  // namespace

void Acceptance::Add(bool right, double memory) {
  const double keep = std::min(1.0, memory / (all_ + 1));
  all_ = all_ * keep + 1;
  right_ = right_ * keep + (right ? 1 : 0);
}

double Acceptance::Estimate(double assumed, double weight) const {
  return (right_ + assumed * weight) / (all_ + weight);
}

void Drafts::Start(std::vector<DraftNode> nodes) {
  nodes_ = std::move(nodes);
  accepted_.clear();
  at_ = -1;
}

double Speculation::Probability(Drafts& drafts, DraftKind kind) {
  const auto k = static_cast<size_t>(kind);
  const double shared = acceptance_[k].Estimate(kAssumed, kAssumedWeight);
  return std::clamp(drafts.acceptance()[k].Estimate(shared, kSharedWeight), kLeast, kMost);
}

void Speculation::Drew(Drafts& drafts, TokenId token) {
  drafts.Drew(token, [&](DraftKind kind, bool right) {
    const auto k = static_cast<size_t>(kind);
    drafts.acceptance()[k].Add(right, kOwnMemory);
    acceptance_[k].Add(right, kSharedMemory);
  });
}

// Every node, the likeliest first, and so a parent before its children.
std::vector<Speculation::Row> Speculation::BestFirst(std::span<Candidate> candidates) {
  std::vector<Row> rows;
  for (size_t c = 0; c < candidates.size(); ++c) {
    const std::vector<DraftNode>& nodes = candidates[c].nodes;
    if (candidates[c].drafts->source().insists()) continue;
    const size_t first = rows.size();
    for (size_t i = 0; i < nodes.size(); ++i) {
      const double before =
          nodes[i].parent < 0 ? 1 : rows[first + static_cast<size_t>(nodes[i].parent)].reached;
      rows.push_back({before * Probability(*candidates[c].drafts, nodes[i].kind), c, i});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.reached > b.reached; });
  return rows;
}

// How many of them make the most tokens per second. Beside rows of prefill only what the drafts add
// to the step's time counts.
size_t Speculation::MostTokensPerSecond(std::span<const Row> order, uint32_t rows,
                                        uint32_t tokens) const {
  const double plain = cost_.Seconds(tokens), whole = cost_.Seconds(rows);
  double best = kGain * tokens / plain, sum = tokens;
  size_t n = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    sum += order[i].reached;
    const double added = cost_.Seconds(rows + static_cast<uint32_t>(i) + 1) - whole;
    const double rate = sum / (plain + added);
    if (rate <= best) continue;
    best = rate;
    n = i + 1;
  }
  return n;
}

// Where nothing is drafted a share of the time is put aside; once it is enough, one request's first
// few guesses are computed all the same.
const Speculation::Candidate* Speculation::Probe(std::span<Candidate> candidates, uint32_t rows,
                                                 size_t room) {
  const double whole = cost_.Seconds(rows);
  const auto price = [&](size_t n) {
    return cost_.Seconds(rows + static_cast<uint32_t>(n)) - whole;
  };
  allowance_ = std::min(allowance_ + kProbeShare * whole, price(kProbeRows));
  for (size_t i = 0; i < candidates.size(); ++i) {
    Candidate& c = candidates[(probes_ + i) % candidates.size()];
    const size_t n = std::min({c.nodes.size(), kProbeRows, room});
    if (n == 0 || c.drafts->source().insists() || allowance_ < price(n)) continue;
    allowance_ -= price(n);
    ++probes_;
    c.nodes.resize(n);
    return &c;
  }
  return nullptr;
}

void Speculation::Choose(std::span<Candidate> candidates, uint32_t rows, uint32_t tokens,
                         size_t room) {
  for (Candidate& c : candidates) {
    if (!c.drafts->source().insists()) continue;
    c.nodes.resize(std::min(c.nodes.size(), room));
    room -= c.nodes.size();
    rows += static_cast<uint32_t>(c.nodes.size());
  }
  std::vector<Row> order = BestFirst(candidates);
  order.resize(std::min(order.size(), room));
  const bool known = cost_.SeenLately(rows, kFreshSteps);
  order.resize(known ? MostTokensPerSecond(order, rows, tokens) : 0);
  const Candidate* probed = known && order.empty() ? Probe(candidates, rows, room) : nullptr;
  for (size_t i = 0; i < candidates.size(); ++i) {
    Candidate& c = candidates[i];
    if (&c == probed || c.drafts->source().insists()) continue;
    Keep(order, i, &c.nodes);
  }
}

void Speculation::Keep(std::span<const Row> order, size_t candidate,
                       std::vector<DraftNode>* nodes) {
  std::vector<int32_t> place(nodes->size(), -1);
  for (const Row& row : order) {
    if (row.candidate == candidate) place[row.node] = 0;
  }
  size_t n = 0;
  for (size_t i = 0; i < place.size(); ++i) {
    if (place[i] < 0) continue;
    place[i] = static_cast<int32_t>(n);
    DraftNode node = (*nodes)[i];
    if (node.parent >= 0) node.parent = place[static_cast<size_t>(node.parent)];
    (*nodes)[n++] = node;
  }
  nodes->resize(n);
}

}  // namespace minnow::engine
