// Scores of trees and logits of sequences, over the fake backend.
#include <cmath>
#include <random>

#include "engine/fake_engine.h"

using minnow::Code;
using minnow::Status;
using minnow::engine::LogitsRequest;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::TokenId;
using minnow::engine::Usage;
using minnow::test::Answer;
using minnow::test::Ask;
using minnow::test::AskedGenerate;
using minnow::test::AskedScore;
using minnow::test::FakeEngine;
using minnow::test::FakeEngineOptions;
using minnow::test::FavouriteAnswer;
using minnow::test::Prompt;
using minnow::test::Request;

namespace {

// A random tree whose nodes have few different tokens, so that beginnings are shared.
std::vector<ScoreRequest::Node> RandomTree(size_t n, uint32_t depth_limit, std::mt19937& rng) {
  std::vector<ScoreRequest::Node> tree;
  std::vector<uint32_t> depth;
  while (tree.size() < n) {
    const auto parent = static_cast<int32_t>(rng() % (tree.size() + 1)) - 1;
    const uint32_t own = parent < 0 ? 1 : depth[static_cast<size_t>(parent)] + 1;
    if (own > depth_limit) continue;
    tree.push_back({parent, static_cast<int32_t>(rng() % 64)});
    depth.push_back(own);
  }
  return tree;
}

void CheckScores(const ScoreRequest& request, const AskedScore& asked) {
  CHECK_OK(asked.Wait().status);
  UNSIGNED_LONGS_EQUAL(request.tree.size(), asked.Wait().logprobs.size());
  std::vector<float> logits(64);
  for (size_t i = 0; i < request.tree.size(); ++i) {
    std::vector<TokenId> path;
    for (int32_t n = request.tree[i].parent; n >= 0;
         n = request.tree[static_cast<size_t>(n)].parent)
      path.push_back(request.tree[static_cast<size_t>(n)].token);
    std::vector<TokenId> context = request.prompt;
    context.insert(context.end(), path.rbegin(), path.rend());
    FavouriteAnswer(context, logits);
    double sum = 0;
    for (float l : logits) sum += std::exp(double{l});
    const double expected = logits[static_cast<size_t>(request.tree[i].token)] - std::log(sum);
    DOUBLES_EQUAL(expected, asked.Wait().logprobs[i], 1e-5);
  }
}

void CheckTrees(const FakeEngineOptions& options, size_t n_trees, size_t nodes, uint32_t depth) {
  FakeEngine fake(options);
  std::mt19937 rng(6);
  std::vector<ScoreRequest> requests;
  std::vector<AskedScore> asked;
  std::vector<AskedGenerate> neighbours;
  for (size_t i = 0; i < n_trees; ++i) {
    requests.push_back({Prompt(1 + rng() % 100, rng()),
                        RandomTree(nodes, depth, rng),
                        Priority::kInteractive,
                        {}});
    asked.push_back(Ask(fake.engine(), requests.back()));
    neighbours.push_back(Ask(fake.engine(), Request(Prompt(1 + rng() % 50, rng()), 8)));
  }
  for (size_t i = 0; i < n_trees; ++i) CheckScores(requests[i], asked[i]);
  for (const AskedGenerate& a : neighbours) CHECK_OK(a.Wait().status);
  fake.CheckAtRest();
}

// What on_logits brought, in order.
void CheckPositions(const FakeEngineOptions& options, size_t n, uint32_t n_last) {
  FakeEngine fake(options);
  const std::vector<TokenId> tokens = Prompt(n, 1);
  std::vector<size_t> positions;
  Answer<Status> answer;
  LogitsRequest request;
  request.tokens = tokens;
  request.n_last = n_last;
  bool equal = true;
  request.on_logits = [&](size_t position, std::span<const float> logits) {
    positions.push_back(position);
    std::vector<float> expected(64);
    FavouriteAnswer(std::span(tokens).first(position + 1), expected);
    equal &= std::equal(expected.begin(), expected.end(), logits.begin(), logits.end());
  };
  request.on_done = [&](Status status, Usage) { answer.Set(std::move(status)); };
  CHECK_OK(fake.engine().Logits(std::move(request)).status());
  CHECK_OK(answer.Wait());
  CHECK(equal);
  const size_t first = n > n_last ? n - n_last : 0;
  UNSIGNED_LONGS_EQUAL(n - first, positions.size());
  for (size_t i = 0; i < positions.size(); ++i) UNSIGNED_LONGS_EQUAL(first + i, positions[i]);
  fake.CheckAtRest();
}

}  // namespace

TEST_GROUP(Score){};

TEST(Score, ATreeGivesTheLogprobOfEachNodeAfterItsAncestors) { CheckTrees({}, 20, 30, 10); }

TEST(Score, ATreeLargerThanAStepIsScoredInSeveral) {
  FakeEngineOptions options;
  options.instance.max_out = 5;
  options.engine.step_tokens = 9;
  CheckTrees(options, 5, 60, 5);
}

TEST(Score, APathMayFillAStep) {
  FakeEngineOptions options;
  options.instance.max_out = 4;
  options.engine.step_tokens = 4;
  options.model.windows = {0, 40};
  FakeEngine fake(options);
  const ScoreRequest request{
      Prompt(20, 1), {{-1, 1}, {0, 2}, {1, 3}, {2, 4}}, Priority::kBatch, {}};
  CheckScores(request, Ask(fake.engine(), request));
  fake.CheckAtRest();
}

TEST(Score, PathsOfATreeRunOnBlocksOfTheirOwn) {
  FakeEngineOptions options;
  options.model.recurrent = true;
  CheckTrees(options, 20, 30, 10);
  options.instance.max_seqs = 2;  // one branch
  options.instance.max_out = 5;
  options.engine.step_tokens = 9;
  CheckTrees(options, 5, 60, 5);
}

TEST(Score, NeedsASecondBlockOfRecurrentState) {
  FakeEngineOptions options;
  options.model.recurrent = true;
  options.instance.max_seqs = 1;
  FakeEngine fake(options);
  CHECK_ERROR(
      Code::kOutOfRange, "a second block",
      fake.engine().Score({Prompt(3, 1), {{-1, 1}, {0, 2}}, Priority::kBatch, {}}).status());
}

TEST(Score, OneTokenNeedsNoRowOfATree) {
  FakeEngine fake;
  const ScoreRequest request{Prompt(20, 1), {{-1, 1}, {-1, 2}}, Priority::kBatch, {}};
  CheckScores(request, Ask(fake.engine(), request));
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(20, fake.engine().stats().rows);
  UNSIGNED_LONGS_EQUAL(1, fake.engine().stats().steps);
}

TEST(Score, NodesThatNobodyWantsAreComputedAndNotGiven) {
  FakeEngine fake;
  // A question "1 2" whose labels are 3 and 4 5, and another, "1 6", whose label is 7.
  const ScoreRequest request{
      Prompt(20, 1),
      {{-1, 1, false}, {0, 2, false}, {1, 3}, {1, 4}, {3, 5}, {0, 6, false}, {5, 7}},
      Priority::kBatch,
      {}};
  const AskedScore asked = Ask(fake.engine(), request);
  CHECK_OK(asked.Wait().status);
  for (const size_t i : {0, 1, 5}) CHECK(asked.Wait().logprobs[i] == 0);
  for (const size_t i : {2, 3, 4, 6}) CHECK(asked.Wait().logprobs[i] < 0);
  fake.CheckAtRest();
  UNSIGNED_LONGS_EQUAL(20 + 4, fake.engine().stats().rows);
  UNSIGNED_LONGS_EQUAL(1, fake.engine().stats().steps);
}

// Any path may be as long as a step, whatever rows of logits a step has.
TEST(Score, APathMayHaveMoreLogitsThanAStep) {
  FakeEngineOptions options;
  options.instance.max_out = 3;
  FakeEngine fake(options);
  ScoreRequest request{Prompt(20, 1), {}, Priority::kBatch, {}};
  for (int32_t i = 0; i < 40; ++i) request.tree.push_back({i - 1, i % 64});
  CheckScores(request, Ask(fake.engine(), request));
  fake.CheckAtRest();
}

TEST_GROUP(Logits){};

TEST(Logits, ComeInOrderForTheLastTokens) {
  CheckPositions({}, 200, 1);
  CheckPositions({}, 200, 100);
  CheckPositions({}, 256, 300);  // all
  CheckPositions({}, 20, 0);     // none: the pass alone
}

TEST(Logits, ComeInChunksOfWhatAStepHasRoomFor) {
  FakeEngineOptions options;
  options.instance.max_out = 7;
  options.engine.step_tokens = 13;
  CheckPositions(options, 150, 100);
}
