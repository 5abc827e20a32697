// How many guesses get a row, in simulated time: what a step of n rows takes and how often a guess
// is right are given.
#include "engine/speculation.h"

#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

using minnow::engine::DraftKind;
using minnow::engine::DraftNode;
using minnow::engine::Drafts;
using minnow::engine::DraftSource;
using minnow::engine::Speculation;
using minnow::engine::StepCost;

namespace {

constexpr int kRight = 1, kWrong = 2;

class Nothing final : public DraftSource {
 public:
  std::vector<DraftNode> Propose(std::span<const int32_t>, size_t) override { return {}; }
};

// Requests that decode together, each with a guess of `depth` tokens before every step.
class Simulation {
 public:
  Simulation(size_t n_requests, std::function<double(size_t)> seconds, uint32_t prefill = 200)
      : seconds_(std::move(seconds)) {
    cost_.Observe(prefill, seconds_(prefill));
    for (size_t i = 0; i < n_requests; ++i) drafts_.emplace_back(std::make_shared<Nothing>());
  }

  // Tokens per second over so many steps.
  double Run(int steps, double acceptance, double noise = 0.05) {
    double tokens = 0, time = 0;
    for (int i = 0; i < steps; ++i) {
      std::vector<Speculation::Candidate> candidates;
      for (Drafts& d : drafts_) candidates.push_back({&d, Guess(acceptance)});
      const auto n = static_cast<uint32_t>(drafts_.size());
      speculation_.Choose(candidates, n, n, 1000);
      size_t rows = n;
      for (Speculation::Candidate& c : candidates) {
        rows += c.nodes.size();
        tokens += 1 + Verify(*c.drafts, std::move(c.nodes));
      }
      drafted_ += rows - n;
      const double seconds = seconds_(rows);
      time += seconds;
      cost_.Observe(static_cast<uint32_t>(rows), seconds * (1 + noise * (2 * Uniform() - 1)));
    }
    return tokens / time;
  }
  double Plain() const { return static_cast<double>(drafts_.size()) / seconds_(drafts_.size()); }
  // With the best fixed number of guesses.
  double Best(double acceptance) const {
    double best = Plain();
    for (size_t n = 1; n <= kDepth; ++n) {
      const double all = (1 - std::pow(acceptance, n + 1)) / (1 - acceptance);
      const auto requests = static_cast<double>(drafts_.size());
      best = std::max(best, requests * all / seconds_(drafts_.size() * (n + 1)));
    }
    return best;
  }
  size_t drafted() const { return drafted_; }

 private:
  static constexpr size_t kDepth = 24;

  double Uniform() { return std::uniform_real_distribution<double>()(rng_); }

  std::vector<DraftNode> Guess(double acceptance) {
    std::vector<DraftNode> nodes;
    for (size_t i = 0; i < kDepth; ++i) {
      nodes.push_back({static_cast<int32_t>(i) - 1, Uniform() < acceptance ? kRight : kWrong,
                       DraftKind::kEight});
    }
    return nodes;
  }

  double Verify(Drafts& drafts, std::vector<DraftNode> nodes) {
    drafts.Start(std::move(nodes));
    for (int32_t node = -1; drafts.IsNext(node); ++node) speculation_.Drew(drafts, kRight);
    return static_cast<double>(drafts.accepted().size());
  }

  const std::function<double(size_t)> seconds_;
  StepCost cost_;
  Speculation speculation_{cost_};
  std::vector<Drafts> drafts_;
  std::mt19937 rng_{7};
  size_t drafted_ = 0;
};

// As on a processor: the weights are read for the first row, the others add arithmetic.
double OnAProcessor(size_t rows) { return 0.020 + 0.003 * static_cast<double>(rows); }
// Where rows are all that counts.
double ByTheRow(size_t rows) { return 0.010 * static_cast<double>(rows); }
// Rows come in eights.
double InEights(size_t rows) { return 0.020 + 0.010 * static_cast<double>((rows + 7) / 8); }

// The same with a draft model, whose steps take this share of the target's time, and whose guesses
// begin when it has read the prompt.
class ModelSimulation {
 public:
  ModelSimulation(size_t n_requests, std::function<double(size_t)> seconds, double share,
                  size_t prompt = 64)
      : seconds_(std::move(seconds)), share_(share), behind_(n_requests, prompt) {
    cost_.Observe(200, seconds_(200));
    for (size_t i = 0; i < n_requests; ++i) drafts_.emplace_back(std::make_shared<Nothing>());
  }

  // Tokens per second over so many steps, the draft's time included. `left`: of each answer.
  double Run(int steps, double acceptance, size_t left = 1000) {
    double tokens = 0, time = 0;
    const auto n = static_cast<uint32_t>(drafts_.size());
    for (int i = 0; i < steps; ++i) {
      std::vector<Speculation::Candidate> candidates;
      for (size_t r = 0; r < n; ++r) {
        candidates.push_back({&drafts_[r], {}, {kDepth, behind_[r], kRows, left, false}});
      }
      speculation_.Choose(candidates, n, n, 1000);
      time += Draft(candidates, acceptance);
      size_t rows = n;
      for (size_t r = 0; r < n; ++r) {
        rows += candidates[r].nodes.size();
        drafts_[r].Start(std::move(candidates[r].nodes));
        for (int32_t node = -1; drafts_[r].IsNext(node); ++node) {
          speculation_.Drew(drafts_[r], kRight);
        }
        tokens += 1 + static_cast<double>(drafts_[r].accepted().size());
        behind_[r] += 1 + (candidates[r].ask > 0 ? 0 : drafts_[r].accepted().size());
      }
      time += seconds_(rows);
      cost_.Observe(static_cast<uint32_t>(rows), seconds_(rows));
    }
    return tokens / time;
  }
  double Plain() const { return static_cast<double>(drafts_.size()) / seconds_(drafts_.size()); }
  // Of the best fixed depth, all caught up.
  double Best(double acceptance) const {
    double best = Plain();
    const auto requests = static_cast<double>(drafts_.size());
    for (size_t n = 1; n <= kDepth; ++n) {
      const double all = (1 - std::pow(acceptance, n + 1)) / (1 - acceptance);
      const double time = seconds_(drafts_.size() * (n + 1)) +
                          static_cast<double>(n) * share_ * seconds_(drafts_.size());
      best = std::max(best, requests * all / time);
    }
    return best;
  }
  size_t drafted() const { return drafted_; }

 private:
  static constexpr size_t kDepth = 16, kRows = 512;

  // What ModelDraft does, in time that is not the target's.
  double Draft(std::vector<Speculation::Candidate>& candidates, double acceptance) {
    double time = 0;
    size_t rows = 0, deepest = 0;
    for (size_t r = 0; r < candidates.size(); ++r) {
      if (candidates[r].ask == 0) continue;
      const size_t n = std::min(behind_[r], kRows - std::min(rows, kRows));
      rows += n;
      behind_[r] -= n;
      if (behind_[r] > 0) continue;
      for (size_t i = 0; i < candidates[r].ask; ++i) {
        const bool right = std::uniform_real_distribution<double>()(rng_) < acceptance;
        candidates[r].nodes.push_back(
            {static_cast<int32_t>(i) - 1, right ? kRight : kWrong, DraftKind::kModel});
      }
      deepest = std::max(deepest, candidates[r].ask);
      drafted_ += candidates[r].ask;
    }
    for (size_t round = 0; rows > 0; ++round) {
      const double seconds = share_ * seconds_(rows);
      draft_cost_.Observe(static_cast<uint32_t>(rows), seconds);
      time += seconds;
      rows = 0;
      for (const auto& c : candidates) rows += c.nodes.size() > round + 1;
    }
    return time;
  }

  const std::function<double(size_t)> seconds_;
  const double share_;
  StepCost cost_, draft_cost_;
  Speculation speculation_{cost_, &draft_cost_};
  std::vector<Drafts> drafts_;
  std::vector<size_t> behind_;
  std::mt19937 rng_{7};
  size_t drafted_ = 0;
};

}  // namespace

TEST_GROUP(Speculation){};

TEST(Speculation, AModelDraftsNearTheBestDepth) {
  for (const auto& seconds : {OnAProcessor, InEights}) {
    for (const double acceptance : {0.5, 0.8, 0.95}) {
      for (const double share : {0.02, 0.1, 0.3}) {
        ModelSimulation s(1, seconds, share);
        s.Run(100, acceptance);
        CHECK(s.Run(3000, acceptance) > 0.88 * s.Best(acceptance));
      }
    }
  }
}

TEST(Speculation, AModelThatIsWrongCostsLittle) {
  for (const size_t requests : {1, 4, 32}) {
    for (const auto& seconds : {OnAProcessor, ByTheRow, InEights}) {
      for (const double share : {0.02, 0.1, 0.3}) {
        ModelSimulation s(requests, seconds, share);
        CHECK(s.Run(1000, 0) > 0.97 * s.Plain());
      }
    }
  }
}

TEST(Speculation, AModelIsOffWhereManyFillTheSteps) {
  for (const double acceptance : {0.5, 0.8, 0.95}) {
    ModelSimulation s(16, ByTheRow, 0.1);
    CHECK(s.Run(1000, acceptance) > 0.96 * s.Plain());
  }
}

TEST(Speculation, AModelAsSlowAsTheTargetIsOff) {
  for (const double acceptance : {0.5, 0.8, 0.95}) {
    ModelSimulation s(1, OnAProcessor, 1);
    CHECK(s.Run(1000, acceptance) > 0.97 * s.Plain());
  }
}

TEST(Speculation, AModelIsTriedAgainWhereItKeepsUpAtLittleCost) {
  ModelSimulation s(1, OnAProcessor, 0.02);
  s.Run(300, 0);
  const size_t before = s.drafted();
  s.Run(3000, 0);
  CHECK(s.drafted() > before);
}

// What it would have to read first is worth more than it could bring.
TEST(Speculation, AModelDoesNotReadALongPromptForAShortAnswer) {
  StepCost cost, draft_cost;
  for (uint32_t rows = 1; rows < 600; ++rows) {
    cost.Observe(rows, OnAProcessor(rows));
    draft_cost.Observe(rows, 0.1 * OnAProcessor(rows));
  }
  Speculation speculation(cost, &draft_cost);
  const auto asked = [&](size_t behind, size_t left) {
    Drafts drafts(std::make_shared<Nothing>());
    std::vector<Speculation::Candidate> c = {{&drafts, {}, {16, behind, 512, left, false}}};
    for (int i = 0; i < 300; ++i) cost.Observe(1, OnAProcessor(1));
    speculation.Choose(c, 1, 1, 100);
    return c[0].ask > 0;
  };
  CHECK(asked(1, 8));
  CHECK(asked(4000, 2000));
  CHECK(!asked(4000, 8));
}

TEST(Speculation, OfFreeGuessesAndAModelTheBetterIsTaken) {
  StepCost cost, draft_cost;
  for (uint32_t rows = 1; rows < 64; ++rows) {
    cost.Observe(rows, OnAProcessor(rows));
    draft_cost.Observe(rows, 0.1 * OnAProcessor(rows));
  }
  Speculation speculation(cost, &draft_cost);
  Drafts drafts(std::make_shared<Nothing>());
  const auto teach = [&](DraftKind kind, double acceptance) {
    for (int i = 0; i < 200; ++i) {
      drafts.Start({{-1, i % 10 < 10 * acceptance ? kRight : kWrong, kind}});
      speculation.Drew(drafts, kRight);
    }
  };
  const auto choose = [&](size_t free) {
    std::vector<Speculation::Candidate> c = {{&drafts, {}, {16, 1, 512, 500, false}}};
    for (size_t i = 0; i < free; ++i) {
      c[0].nodes.push_back({static_cast<int32_t>(i) - 1, kRight, DraftKind::kEight});
    }
    speculation.Choose(c, 1, 1, 100);
    CHECK(c[0].ask == 0 || c[0].nodes.empty());
    return std::pair(c[0].nodes.size(), c[0].ask);
  };
  teach(DraftKind::kEight, 0.9);
  teach(DraftKind::kModel, 0.8);
  CHECK(choose(8).first > 0);   // they are free
  CHECK(choose(0).second > 0);  // there are none
  teach(DraftKind::kEight, 0.3);
  CHECK(choose(8).second > 0);  // they are worse
  teach(DraftKind::kModel, 0.0);
  CHECK(choose(8).first > 0);  // and now better
  UNSIGNED_LONGS_EQUAL(0, choose(0).second);
}

TEST(Speculation, ComesNearTheBestFixedNumberOfGuesses) {
  for (const auto& seconds : {OnAProcessor, InEights}) {
    for (const double acceptance : {0.5, 0.8, 0.95}) {
      Simulation s(1, seconds);
      const double rate = s.Run(3000, acceptance);
      CHECK(rate > 0.88 * s.Best(acceptance));
    }
  }
}

TEST(Speculation, CostsLittleWhereNoGuessIsRight) {
  for (const size_t requests : {1, 4, 32}) {
    for (const auto& seconds : {OnAProcessor, ByTheRow, InEights}) {
      Simulation s(requests, seconds);
      CHECK(s.Run(1000, 0) > 0.97 * s.Plain());
      CHECK(s.drafted() > 0);  // it has tried
    }
  }
}

TEST(Speculation, CostsLittleWhereRowsCostAsMuchAsSteps) {
  for (const double acceptance : {0.5, 0.8, 0.95}) {
    Simulation s(16, ByTheRow);
    CHECK(s.Run(1000, acceptance) > 0.97 * s.Plain());
  }
}

TEST(Speculation, ComesBackWhenGuessesAreRightAgain) {
  Simulation s(1, OnAProcessor);
  s.Run(1000, 0);
  s.Run(200, 0.9);  // while it notices
  CHECK(s.Run(200, 0.9) > 0.9 * s.Best(0.9));
}

// One request repeats its source, the other says nothing that was there before.
TEST(Speculation, RowsGoWhereTheyAreWorthMost) {
  StepCost cost;
  for (uint32_t rows = 1; rows < 64; ++rows) cost.Observe(rows, OnAProcessor(rows));
  Speculation speculation(cost);
  Drafts good(std::make_shared<Nothing>()), bad(std::make_shared<Nothing>());
  for (int i = 0; i < 30; ++i) {
    for (const auto& [drafts, token] : {std::pair(&good, kRight), std::pair(&bad, kWrong)}) {
      drafts->Start({{-1, token, DraftKind::kTwo}});
      speculation.Drew(*drafts, kRight);
    }
  }
  std::vector<DraftNode> chain;
  for (int i = 0; i < 10; ++i) chain.push_back({i - 1, kRight, DraftKind::kTwo});
  std::vector<Speculation::Candidate> candidates = {{&bad, chain}, {&good, chain}};
  speculation.Choose(candidates, 2, 2, 6);
  UNSIGNED_LONGS_EQUAL(0, candidates[0].nodes.size());
  UNSIGNED_LONGS_EQUAL(6, candidates[1].nodes.size());
}

TEST(Speculation, ATreeKeepsItsShapeWhenItsLeastLikelyNodesGo) {
  StepCost cost;
  for (uint32_t rows = 1; rows < 64; ++rows) cost.Observe(rows, 0.02 + 0.0001 * rows);
  Speculation speculation(cost);
  Drafts drafts(std::make_shared<Nothing>());
  for (int i = 0; i < 40; ++i) {  // kTwo is right three times in four, kSecond one in four
    drafts.Start({{-1, i % 4 ? kRight : kWrong, DraftKind::kTwo},
                  {-1, i % 4 ? kWrong : kRight, DraftKind::kSecond}});
    speculation.Drew(drafts, kRight);
  }
  // Two deep and a branch at each.
  std::vector<Speculation::Candidate> candidates = {{&drafts,
                                                     {{-1, 10, DraftKind::kSecond},
                                                      {0, 11, DraftKind::kSecond},
                                                      {-1, 12, DraftKind::kTwo},
                                                      {2, 13, DraftKind::kTwo},
                                                      {3, 14, DraftKind::kTwo}}}};
  speculation.Choose(candidates, 1, 1, 4);
  const std::vector<DraftNode>& left = candidates[0].nodes;
  UNSIGNED_LONGS_EQUAL(4, left.size());
  const int32_t tokens[] = {10, 12, 13, 14}, parents[] = {-1, -1, 1, 2};
  for (size_t i = 0; i < 4; ++i) {
    LONGS_EQUAL(tokens[i], left[i].token);
    LONGS_EQUAL(parents[i], left[i].parent);
  }
}

TEST(Speculation, NothingIsTriedBeforeThePlainStepIsKnown) {
  StepCost cost;
  Speculation speculation(cost);
  Drafts drafts(std::make_shared<Nothing>());
  const auto tried = [&] {
    std::vector<Speculation::Candidate> c = {{&drafts, {{-1, kRight, DraftKind::kSixteen}}}};
    speculation.Choose(c, 1, 1, 10);
    return c[0].nodes.size();
  };
  UNSIGNED_LONGS_EQUAL(0, tried());
  cost.Observe(100, 1);  // the prompt
  UNSIGNED_LONGS_EQUAL(0, tried());
  cost.Observe(1, 0.1);
  UNSIGNED_LONGS_EQUAL(1, tried());
  for (int i = 0; i < 200; ++i) cost.Observe(3, 0.1);
  UNSIGNED_LONGS_EQUAL(0, tried());  // it may have changed
}

TEST(Speculation, OfTwoBranchesTheOneThatWasDrawnGoesOn) {
  Drafts drafts(std::make_shared<Nothing>());
  drafts.Start({{-1, 5, DraftKind::kTwo},
                {0, 6, DraftKind::kTwo},
                {-1, 7, DraftKind::kSecond},
                {2, 8, DraftKind::kTwo},
                {3, 9, DraftKind::kTwo}});
  std::vector<bool> learned;
  const auto learn = [&](DraftKind, bool right) { learned.push_back(right); };
  CHECK(drafts.IsNext(-1));
  drafts.Drew(7, learn);
  CHECK(drafts.IsNext(2));
  CHECK(!drafts.IsNext(0));
  drafts.Drew(8, learn);
  CHECK(drafts.IsNext(3));
  drafts.Drew(6, learn);
  for (int32_t node = -1; node < 5; ++node) CHECK(!drafts.IsNext(node));
  CHECK((learned == std::vector<bool>{false, true, true, false}));
  const int32_t expected[] = {2, 3};
  CHECK(std::equal(drafts.accepted().begin(), drafts.accepted().end(), expected, expected + 2));
}
