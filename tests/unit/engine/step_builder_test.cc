#include "engine/step_builder.h"

#include "engine/fake_engine.h"
#include "engine/replay_draft.h"

using minnow::engine::BuildStep;
using minnow::engine::Drafts;
using minnow::engine::Job;
using minnow::engine::KvCache;
using minnow::engine::LogitsRequest;
using minnow::engine::MakeGenerateJob;
using minnow::engine::MakeLogitsJob;
using minnow::engine::MakeScoreJob;
using minnow::engine::Priority;
using minnow::engine::ScoreRequest;
using minnow::engine::Speculation;
using minnow::engine::Step;
using minnow::engine::StepCost;
using minnow::engine::StepPart;
using minnow::model::StepInputs;
using minnow::test::FakeEngineOptions;
using minnow::test::FakeInstance;
using minnow::test::Prompt;
using minnow::test::ReplayDraft;
using minnow::test::Request;

namespace {

FakeEngineOptions Small() {
  FakeEngineOptions options;
  options.model.windows = {0, 40};
  options.instance.max_tokens = 64;
  options.instance.max_seqs = 4;
  options.instance.max_out = 6;
  return options;
}

}  // namespace

TEST_GROUP(StepBuilder) {
  FakeInstance fake{Small()};
  KvCache cache{fake.instance(), 64, 0};
  std::vector<std::unique_ptr<Job>> jobs;
  StepCost cost;
  Speculation speculation{cost};
  Step step;
  uint32_t interactive_rows = 64, batch_rows = 64;

  Job& Add(std::unique_ptr<Job> job) {
    CHECK(cache.Begin(job->branches, &job->pages));
    jobs.push_back(std::move(job));
    return *jobs.back();
  }
  // A job that has these many tokens, so many of them in the cache.
  Job& AddGenerate(size_t n, size_t committed, Priority priority = Priority::kInteractive) {
    Job& job = Add(MakeGenerateJob(
        Request(Prompt(n, static_cast<uint32_t>(jobs.size())), 8, priority), nullptr));
    UNSIGNED_LONGS_EQUAL(committed, cache.Extend(&job.pages, 0, committed));
    job.committed = committed;
    return job;
  }
  Job& AddScore(std::vector<ScoreRequest::Node> tree, size_t n, size_t committed) {
    Job& job = Add(MakeScoreJob({Prompt(n, 1), std::move(tree), Priority::kInteractive, {}}, 0));
    job.committed = committed;
    if (committed == n) CHECK_OK(job.OnLogits(n - 1, std::vector<float>(64)));
    return job;
  }

  // So many guesses of what comes after its tokens.
  void Guess(Job & job, size_t n, bool tree = false) {
    job.drafts = std::make_unique<Drafts>(std::make_shared<ReplayDraft>(ReplayDraft::Options{
        .prompt = job.tokens.size(), .answer = Prompt(50, 3), .tree = tree, .most = n}));
  }

  void Build(uint32_t step_tokens = 64) {
    BuildStep(jobs, fake.instance(), {step_tokens, interactive_rows, batch_rows}, cache,
              &speculation, nullptr, &step);
    CheckConsistent();
  }

  // What holds for every step, whatever is in it.
  void CheckConsistent() {
    const StepInputs& in = step.inputs;
    const size_t n = in.tokens.size();
    CHECK(n <= 64);
    CHECK(step.parts.size() <= 4);
    CHECK(in.out_rows.size() <= 6);
    UNSIGNED_LONGS_EQUAL(n, in.positions.size());
    UNSIGNED_LONGS_EQUAL(n, in.seq.size());
    UNSIGNED_LONGS_EQUAL(n, in.parent.size());
    UNSIGNED_LONGS_EQUAL(step.parts.size(), in.seq_len.size());
    UNSIGNED_LONGS_EQUAL(step.out.size(), in.out_rows.size());
    for (uint32_t g = 0; g < 2; ++g) {
      UNSIGNED_LONGS_EQUAL(n, in.slots[g].size());
      UNSIGNED_LONGS_EQUAL(step.parts.size() * fake.instance().page_columns(), in.pages[g].size());
    }
    size_t row = 0;
    for (size_t p = 0; p < step.parts.size(); ++p) {
      const StepPart& part = step.parts[p];
      CHECK(part.n_tokens + part.tree.size() > 0);
      UNSIGNED_LONGS_EQUAL(part.job->committed, part.first_token);
      LONGS_EQUAL(part.first_token, in.seq_len[p]);
      for (size_t i = 0; i < part.n_tokens + part.tree.size(); ++i) LONGS_EQUAL(p, in.seq[row++]);
    }
    for (size_t p = 0; p < step.parts.size(); ++p) {
      if (step.parts[p].n_drafts > 0) UNSIGNED_LONGS_EQUAL(row, step.parts[p].first_draft);
      for (size_t i = 0; i < step.parts[p].n_drafts; ++i) LONGS_EQUAL(p, in.seq[row++]);
    }
    UNSIGNED_LONGS_EQUAL(n, row);
  }

  size_t RowsOf(const Job& job) const {
    for (const StepPart& part : step.parts) {
      if (part.job == &job) return part.n_tokens + part.tree.size();
    }
    return 0;
  }
  void CheckOrder(std::vector<const Job*> expected) {
    UNSIGNED_LONGS_EQUAL(expected.size(), step.parts.size());
    for (size_t i = 0; i < expected.size(); ++i) POINTERS_EQUAL(expected[i], step.parts[i].job);
  }
};

TEST(StepBuilder, InteractiveComesBeforeBatchAndDecodeBeforePrefill) {
  const Job& batch_prefill = AddGenerate(10, 0, Priority::kBatch);
  const Job& prefill = AddGenerate(10, 0);
  const Job& batch_decode = AddGenerate(10, 9, Priority::kBatch);
  const Job& decode = AddGenerate(10, 9);
  Build();
  CheckOrder({&decode, &prefill, &batch_decode, &batch_prefill});
}

TEST(StepBuilder, EachPriorityHasALimitOfItsOwn) {
  const Job& batch = AddGenerate(50, 0, Priority::kBatch);
  const Job& decode = AddGenerate(10, 9, Priority::kBatch);
  const Job& prefill = AddGenerate(50, 0);
  interactive_rows = 30;
  batch_rows = 7;
  Build();
  UNSIGNED_LONGS_EQUAL(30, RowsOf(prefill));
  UNSIGNED_LONGS_EQUAL(1, RowsOf(decode));
  UNSIGNED_LONGS_EQUAL(6, RowsOf(batch));
  batch_rows = 0;
  Build();
  CheckOrder({&prefill});
}

TEST(StepBuilder, TheOlderComesFirst) {
  const Job& a = AddGenerate(10, 9);
  const Job& b = AddGenerate(20, 19);
  const Job& c = AddGenerate(5, 4);
  Build();
  CheckOrder({&a, &b, &c});
}

TEST(StepBuilder, PrefillTakesWhatDecodeLeavesInChunks) {
  const Job& prefill = AddGenerate(100, 30);
  const Job& decode = AddGenerate(10, 9);
  Build(16);
  UNSIGNED_LONGS_EQUAL(1, RowsOf(decode));
  UNSIGNED_LONGS_EQUAL(15, RowsOf(prefill));
  UNSIGNED_LONGS_EQUAL(1, step.out.size());  // the chunk's logits are nobody's
  Build(512);                                // the plan's own limit is 64
  UNSIGNED_LONGS_EQUAL(63, RowsOf(prefill));
}

TEST(StepBuilder, ASecondPrefillGetsTheRest) {
  const Job& first = AddGenerate(50, 0);
  const Job& second = AddGenerate(50, 0);
  Build();
  UNSIGNED_LONGS_EQUAL(50, RowsOf(first));
  UNSIGNED_LONGS_EQUAL(14, RowsOf(second));
}

TEST(StepBuilder, KeepsWithinTheSequencesOfThePlan) {
  for (int i = 0; i < 6; ++i) AddGenerate(10, 9);
  Build();
  UNSIGNED_LONGS_EQUAL(4, step.parts.size());
}

TEST(StepBuilder, OnlyTheLastRowOfAPromptHasLogits) {
  AddGenerate(10, 0);
  Build(9);
  UNSIGNED_LONGS_EQUAL(0, step.out.size());
  Build(10);
  UNSIGNED_LONGS_EQUAL(1, step.out.size());
  LONGS_EQUAL(9, step.inputs.out_rows[0]);
  UNSIGNED_LONGS_EQUAL(9, step.out[0].position);
  CHECK(step.out[0].node < 0);
}

TEST(StepBuilder, AChunkEndsWhereTheRowsOfLogitsEnd) {
  LogitsRequest request;
  request.tokens = Prompt(30, 1);
  request.n_last = 20;
  Job& job = Add(MakeLogitsJob(std::move(request)));
  Build();
  UNSIGNED_LONGS_EQUAL(16, RowsOf(job));  // 10 without, 6 with logits
  UNSIGNED_LONGS_EQUAL(6, step.out.size());
  job.committed = 16;
  const Job& other = AddGenerate(5, 0);
  Build();
  UNSIGNED_LONGS_EQUAL(6, RowsOf(job));
  UNSIGNED_LONGS_EQUAL(4, RowsOf(other));  // all but the row that wants logits
}

TEST(StepBuilder, RowsFollowOneAnotherFromTheCommittedOnes) {
  const Job& job = AddGenerate(50, 40);
  Build();
  const StepInputs& in = step.inputs;
  UNSIGNED_LONGS_EQUAL(10, in.tokens.size());
  for (size_t i = 0; i < 10; ++i) {
    LONGS_EQUAL(job.tokens[40 + i], in.tokens[i]);
    LONGS_EQUAL(40 + i, in.positions[i]);
    LONGS_EQUAL(static_cast<int>(i) - 1, in.parent[i]);
  }
}

TEST(StepBuilder, SlotsLieInThePagesOfTheirSequence) {
  AddGenerate(60, 20);
  AddGenerate(40, 39);
  Build();
  const StepInputs& in = step.inputs;
  const size_t columns = fake.instance().page_columns();
  for (size_t g = 0; g < 2; ++g) {
    for (size_t t = 0; t < in.tokens.size(); ++t) {
      const auto column = static_cast<size_t>(in.positions[t] / 32);
      const int32_t page = in.pages[g][static_cast<size_t>(in.seq[t]) * columns + column];
      CHECK(page >= 0);
      LONGS_EQUAL(page * 32 + in.positions[t] % 32, in.slots[g][t]);
    }
  }
}

// a-b, a-c-d, e-f: the leaves b, d and f need no row.
TEST(StepBuilder, TreeRowsHangOnTheLastTokenAndHaveNoSlots) {
  AddScore({{-1, 1}, {0, 2}, {0, 3}, {2, 4}, {-1, 5}, {4, 6}}, 10, 0);
  Build();
  const StepInputs& in = step.inputs;
  UNSIGNED_LONGS_EQUAL(13, in.tokens.size());
  const int32_t token[] = {1, 3, 5}, position[] = {10, 11, 10}, parent[] = {9, 10, 9};
  const int32_t node[] = {0, 2, 4};
  for (size_t i = 0; i < 3; ++i) {
    LONGS_EQUAL(token[i], in.tokens[10 + i]);
    LONGS_EQUAL(position[i], in.positions[10 + i]);
    LONGS_EQUAL(parent[i], in.parent[10 + i]);
    LONGS_EQUAL(-1, in.slots[0][10 + i]);
    LONGS_EQUAL(-1, in.slots[1][10 + i]);
    LONGS_EQUAL(10 + i, in.out_rows[1 + i]);
    LONGS_EQUAL(node[i], step.out[1 + i].node);
  }
}

TEST(StepBuilder, ATreeAloneHangsOnTheCache) {
  AddScore({{-1, 1}, {0, 2}, {1, 3}}, 10, 10);
  Build();
  const StepInputs& in = step.inputs;
  UNSIGNED_LONGS_EQUAL(2, in.tokens.size());
  LONGS_EQUAL(-1, in.parent[0]);
  LONGS_EQUAL(0, in.parent[1]);
  LONGS_EQUAL(10, in.positions[0]);
  LONGS_EQUAL(10, in.seq_len[0]);
}

TEST(StepBuilder, ATreeWaitsUntilItsPromptIsDone) {
  const Job& job = AddScore({{-1, 1}, {0, 2}}, 10, 0);
  Build(5);
  UNSIGNED_LONGS_EQUAL(5, RowsOf(job));
  CHECK(step.parts[0].tree.empty());
}

// 8 paths of two rows each, with 6 rows of logits in a step: 3 paths in each.
TEST(StepBuilder, ATreeIsCutIntoWholePaths) {
  std::vector<ScoreRequest::Node> tree;
  for (int32_t i = 0; i < 8; ++i) {
    const auto first = static_cast<int32_t>(tree.size());
    tree.push_back({-1, i});
    tree.push_back({first, i});
    tree.push_back({first + 1, i});
  }
  Job& job = AddScore(tree, 10, 10);
  const std::vector<float> logits(64);
  for (size_t expected : {6, 6, 4}) {
    Build();
    UNSIGNED_LONGS_EQUAL(expected, RowsOf(job));
    for (const auto& row : step.out) CHECK_OK(job.OnTreeLogits(row.node, logits));
  }
  CHECK(job.finished());
}

// A path cannot be cut, so where batch work has fewer rows than that it takes them all the same,
// one path at a time; else it would wait for ever.
TEST(StepBuilder, APathThatIsAloneHasItsRowsWhateverTheLimit) {
  Job& job = Add(MakeScoreJob(
      {Prompt(10, 1), {{-1, 1}, {0, 2}, {1, 3}, {2, 4}, {-1, 5}, {4, 6}}, Priority::kBatch, {}},
      0));
  UNSIGNED_LONGS_EQUAL(10, cache.Extend(&job.pages, 0, 10));
  job.committed = 10;
  CHECK_OK(job.OnLogits(9, std::vector<float>(64)));
  batch_rows = 2;
  Build();
  UNSIGNED_LONGS_EQUAL(2, RowsOf(job));  // as far as the path goes
  for (const auto& row : step.out) CHECK_OK(job.OnTreeLogits(row.node, std::vector<float>(64)));
  Build();
  UNSIGNED_LONGS_EQUAL(3, RowsOf(job));  // all of it
  AddGenerate(5, 4, Priority::kBatch);
  std::swap(jobs[0], jobs[1]);
  Build();
  UNSIGNED_LONGS_EQUAL(0, RowsOf(job));  // not alone
}

// Two that decode beside a prefill; the second one guesses.
TEST(StepBuilder, GuessesStandBehindAllOtherRowsAndHangOnTheLastToken) {
  AddGenerate(20, 19);
  Job& job = AddGenerate(30, 29);
  AddGenerate(10, 0);
  Guess(job, 3);
  Build();
  const StepInputs& in = step.inputs;
  UNSIGNED_LONGS_EQUAL(1 + 1 + 10 + 3, in.tokens.size());
  const std::vector<int32_t> answer = Prompt(50, 3);
  for (int32_t i = 0; i < 3; ++i) {
    const auto row = static_cast<size_t>(12 + i);
    LONGS_EQUAL(answer[static_cast<size_t>(i)], in.tokens[row]);
    LONGS_EQUAL(30 + i, in.positions[row]);
    LONGS_EQUAL(i == 0 ? 1 : 11 + i, in.parent[row]);
    LONGS_EQUAL(1, in.seq[row]);
    LONGS_EQUAL(-1, in.slots[0][row]);
    LONGS_EQUAL(-1, in.slots[1][row]);
    LONGS_EQUAL(row, in.out_rows[static_cast<size_t>(3 + i)]);
    UNSIGNED_LONGS_EQUAL(1, step.out[static_cast<size_t>(3 + i)].part);
    LONGS_EQUAL(i, step.out[static_cast<size_t>(3 + i)].node);
    UNSIGNED_LONGS_EQUAL(30 + i, step.out[static_cast<size_t>(3 + i)].position);
  }
  UNSIGNED_LONGS_EQUAL(29, job.committed);
  UNSIGNED_LONGS_EQUAL(3, job.usage.drafted_tokens);
}

TEST(StepBuilder, BranchesOfGuessesHangWhereTheyBelong) {
  Job& job = AddGenerate(30, 29);
  Guess(job, 5, true);
  Build();
  const int32_t parents[] = {-1, 0, 1, 2, 3, 0}, positions[] = {29, 30, 31, 32, 33, 30};
  UNSIGNED_LONGS_EQUAL(6, step.inputs.tokens.size());
  for (size_t i = 0; i < 6; ++i) {
    LONGS_EQUAL(parents[i], step.inputs.parent[i]);
    LONGS_EQUAL(positions[i], step.inputs.positions[i]);
  }
}

TEST(StepBuilder, GuessesGetOnlyWhatOthersLeave) {
  Job& job = AddGenerate(10, 9);
  Guess(job, 20);
  Job& second = AddGenerate(12, 11);
  Guess(second, 20);
  AddGenerate(100, 30);
  Build(16);  // all rows of the step go to the prefill
  UNSIGNED_LONGS_EQUAL(16, step.inputs.tokens.size());
  UNSIGNED_LONGS_EQUAL(2, step.out.size());
  Build(64);
  UNSIGNED_LONGS_EQUAL(64, step.inputs.tokens.size());
  UNSIGNED_LONGS_EQUAL(2, step.out.size());
  jobs.pop_back();
  Build(64);  // six rows of logits
  UNSIGNED_LONGS_EQUAL(6, step.inputs.tokens.size());
  UNSIGNED_LONGS_EQUAL(4, step.parts[0].n_drafts);
  UNSIGNED_LONGS_EQUAL(0, step.parts[1].n_drafts);
}

// The answer has at most 8 tokens: the last of them needs no row, and the first is the pending
// row's.
TEST(StepBuilder, NothingIsGuessedBeyondTheAnswersEnd) {
  Job& job = AddGenerate(10, 9);
  Guess(job, 24);
  for (size_t left = 8; left > 0; --left) {
    Build();
    UNSIGNED_LONGS_EQUAL(std::min<size_t>(left - 1, 5), step.parts[0].n_drafts);
    job.tokens.push_back(1);
    ++job.committed;
  }
}

TEST(StepBuilder, NothingIsGuessedWhereItMayNotBe) {
  Job& job = AddGenerate(10, 9);
  Guess(job, 3);
  BuildStep(jobs, fake.instance(), {64, 64, 64}, cache, nullptr, nullptr, &step);
  UNSIGNED_LONGS_EQUAL(1, step.inputs.tokens.size());
  UNSIGNED_LONGS_EQUAL(0, step.parts[0].n_drafts);
}
