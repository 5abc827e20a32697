#include "engine/speculation.h"

#include <algorithm>

namespace minnow::engine {

namespace {

constexpr double kAssumed = 0.7, kAssumedWeight = 2;  // of a kind that nothing is known of
constexpr double kSharedWeight = 3;                   // of what other requests taught
constexpr double kSharedMemory = 64, kOwnMemory = 24;
constexpr double kLeast = 0.01, kMost = 0.98;
constexpr double kGain = 1.02;             // less is not told from noise
constexpr double kProbeShare = 0.015;      // of the time in which nothing is drafted
constexpr double kModelProbeShare = 0.01;  // of the time in which no model drafts
constexpr size_t kProbeRows = 4;
constexpr uint64_t kEver = uint64_t{1} << 62;
constexpr uint64_t kFreshSteps = 100;  // after so many the plain step is timed again

bool Insists(const Speculation::Candidate& c) {
  return c.offer.insists || c.drafts->source().insists();
}

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

bool Speculation::ModelIsBetter(const Candidate& c) {
  return c.nodes.empty() ||
         Probability(*c.drafts, c.nodes[0].kind) < Probability(*c.drafts, DraftKind::kModel);
}

// Every node, the likeliest first, and so a parent before its children.
std::vector<Speculation::Row> Speculation::BestFirst(std::span<Candidate> candidates,
                                                     bool with_model) {
  std::vector<Row> rows;
  for (size_t c = 0; c < candidates.size(); ++c) {
    const std::vector<DraftNode>& nodes = candidates[c].nodes;
    if (Insists(candidates[c])) continue;
    if (with_model && candidates[c].offer.most > 0 && ModelIsBetter(candidates[c])) {
      const double right = Probability(*candidates[c].drafts, DraftKind::kModel);
      double reached = 1;
      for (size_t i = 0; i < candidates[c].offer.most; ++i) {
        rows.push_back({reached *= right, c, i, true});
      }
      continue;
    }
    const size_t first = rows.size();
    for (size_t i = 0; i < nodes.size(); ++i) {
      const double before =
          nodes[i].parent < 0 ? 1 : rows[first + static_cast<size_t>(nodes[i].parent)].reached;
      rows.push_back({before * Probability(*candidates[c].drafts, nodes[i].kind), c, i, false});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.reached > b.reached; });
  return rows;
}

// Has a step of the draft with one row been timed?
bool Speculation::KnowsDraft() const { return draft_cost_ && draft_cost_->SeenLately(1, kEver); }

// Beyond the first tries, which are free.
double Speculation::DraftSeconds(size_t rows) const {
  return KnowsDraft() ? draft_cost_->Seconds(static_cast<uint32_t>(rows)) : 0;
}

// Until the draft can guess: nothing beside the round if only the last step's tokens are missing.
double Speculation::CatchUpSeconds(const Offer& offer) const {
  if (offer.behind <= 2) return 0;
  const size_t rows = std::max<size_t>(1, std::min(offer.behind, offer.rows));
  return DraftSeconds(rows) * static_cast<double>((offer.behind + rows - 1) / rows);
}

// How many of them make the most tokens per second. Beside rows of prefill only what the drafts add
// to the step's time counts.
Speculation::Plan Speculation::MostTokensPerSecond(std::span<const Candidate> candidates,
                                                   std::vector<Row> order, uint32_t rows,
                                                   uint32_t tokens) const {
  const double plain = cost_.Seconds(tokens), whole = cost_.Seconds(rows);
  double best = kGain * tokens / plain, sum = tokens, drafting = 0;
  std::vector<size_t> rounds;  // of the draft: rows
  size_t n = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const Row& row = order[i];
    sum += row.reached;
    if (row.model) {
      rounds.resize(std::max(rounds.size(), row.node + 1), 0);
      size_t& in_round = rounds[row.node];
      drafting += DraftSeconds(in_round + 1) - (in_round > 0 ? DraftSeconds(in_round) : 0);
      ++in_round;
      const Offer& offer = candidates[row.candidate].offer;
      // A step with guesses brings about two of the tokens that are left.
      if (row.node == 0)
        drafting += CatchUpSeconds(offer) / (1 + static_cast<double>(offer.left) / 2);
    }
    const double added = cost_.Seconds(rows + static_cast<uint32_t>(i) + 1) - whole;
    const double rate = sum / (plain + added + drafting);
    if (rate <= best) continue;
    best = rate;
    n = i + 1;
  }
  order.resize(n);
  return {std::move(order), best};
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
    if (n == 0 || Insists(c) || allowance_ < price(n)) continue;
    allowance_ -= price(n);
    ++probes_;
    c.nodes.resize(n);
    return &c;
  }
  return nullptr;
}

// The same for the model, where it was not asked at all: whoever is the cheapest to ask, since what
// it has not read since the last time is to be paid too. Before its cost is known one request tries
// it at once.
void Speculation::ProbeModel(std::span<Candidate> candidates, uint32_t rows, size_t room) {
  const double whole = cost_.Seconds(rows);
  const auto depth = [&](const Offer& offer) { return std::min({offer.most, kProbeRows, room}); };
  Candidate* cheapest = nullptr;
  double price = 0;
  for (Candidate& c : candidates) {
    const size_t n = depth(c.offer);
    if (n == 0 || !c.nodes.empty() || c.ask > 0) continue;
    const double p = CatchUpSeconds(c.offer) + static_cast<double>(n) * DraftSeconds(1) +
                     cost_.Seconds(rows + static_cast<uint32_t>(n)) - whole;
    if (cheapest && price <= p) continue;
    cheapest = &c;
    price = p;
  }
  if (!cheapest) return;
  model_allowance_ = std::min(model_allowance_ + kModelProbeShare * whole, price);
  if (KnowsDraft() && model_allowance_ < price) return;
  const Offer& offer = cheapest->offer;
  cheapest->ask = depth(offer);
  // What is caught up with in later steps is paid then.
  if (KnowsDraft()) {
    model_allowance_ -= offer.behind > offer.rows ? DraftSeconds(offer.rows) : price;
  }
}

void Speculation::Choose(std::span<Candidate> candidates, uint32_t rows, uint32_t tokens,
                         size_t room) {
  for (Candidate& c : candidates) {
    if (!Insists(c)) continue;
    c.ask = c.offer.insists ? std::min(c.offer.most, room) : 0;
    c.nodes.resize(c.offer.insists ? 0 : std::min(c.nodes.size(), room));
    const size_t n = c.ask + c.nodes.size();
    room -= n;
    rows += static_cast<uint32_t>(n);
  }
  const bool known = cost_.SeenLately(rows, kFreshSteps);
  const auto plan_with = [&](bool model) {
    std::vector<Row> order = BestFirst(candidates, model);
    order.resize(known ? std::min(order.size(), room) : 0);
    return MostTokensPerSecond(candidates, std::move(order), rows, tokens);
  };
  Plan plan = plan_with(false);
  const bool has_model = std::any_of(candidates.begin(), candidates.end(), [](const Candidate& c) {
    return c.offer.most > 0 && !c.offer.insists;
  });
  bool model = false;
  if (has_model && KnowsDraft()) {
    Plan other = plan_with(true);
    model = other.rate > plan.rate;
    if (model) plan = std::move(other);
  }
  const Candidate* probed = known && plan.rows.empty() ? Probe(candidates, rows, room) : nullptr;
  for (size_t i = 0; i < candidates.size(); ++i) {
    Candidate& c = candidates[i];
    if (&c == probed || Insists(c)) continue;
    for (const Row& row : plan.rows) c.ask += row.candidate == i && row.model;
    if (c.ask > 0) c.nodes.clear();
    Keep(plan.rows, i, &c.nodes);
  }
  const size_t taken = plan.rows.size() + (probed ? probed->nodes.size() : 0);
  if (has_model && known && !model) {
    ProbeModel(candidates, rows + static_cast<uint32_t>(taken), room - taken);
  }
}

void Speculation::Keep(std::span<const Row> order, size_t candidate,
                       std::vector<DraftNode>* nodes) {
  std::vector<int32_t> place(nodes->size(), -1);
  for (const Row& row : order) {
    if (row.candidate == candidate && !row.model) place[row.node] = 0;
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
