#include "engine/classify.h"

#include <cmath>
#include <numeric>
#include <thread>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/document_questions.h"
#include "engine/sampler.h"

using minnow::Code;
using minnow::engine::Classify;
using minnow::engine::ClassifyRequest;
using minnow::engine::ClassifyResult;
using minnow::engine::EngineStats;
using minnow::engine::LabelQuestion;
using minnow::engine::LabelScore;
using minnow::engine::LogSumExp;
using minnow::engine::TokenId;
using minnow::test::Asked;
using minnow::test::CpuEngine;
using minnow::test::CpuOptions;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;

namespace {

using AskedClassify = Asked<ClassifyResult>;
using Tokens = std::vector<TokenId>;

AskedClassify Ask(minnow::engine::Engine& engine, std::vector<LabelQuestion> questions) {
  AskedClassify asked;
  ClassifyRequest request;
  request.questions = std::move(questions);
  request.on_done = [answer = asked.answer](ClassifyResult r) { answer->Set(std::move(r)); };
  asked.id = minnow::test::Taken(Classify(engine, std::move(request)));
  return asked;
}

// 300 labels: of a few words with long beginnings in common, some of them beginnings of others.
std::vector<std::string> ManyLabels() {
  std::vector<std::string> labels;
  const std::string long_beginning = "department of internal affairs and ";
  for (int i = 0; labels.size() < 300; ++i) {
    std::string label = i % 3 == 0 ? long_beginning : i % 3 == 1 ? "letter " : "";
    label += std::to_string(i * 7919 % 1000);
    labels.push_back(label);
    if (i % 5 == 0) labels.push_back(label + " and more");
  }
  labels.resize(300);
  return labels;
}

}  // namespace

TEST_GROUP(Classify) {
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"))};
  const Tokens prompt = {0, 40, 50, 60, 70};

  minnow::Status Refusal(std::vector<LabelQuestion> questions) {
    ClassifyRequest request;
    request.questions = std::move(questions);
    request.on_done = [](ClassifyResult) { FAIL("on_done of a refused request"); };
    return Classify(cpu.engine(), std::move(request)).status();
  }
  minnow::Status RefusalOf(std::vector<std::string> labels) {
    return Refusal({{prompt, std::move(labels)}});
  }

  std::vector<LabelScore> Run(const std::vector<std::string>& labels) {
    const ClassifyResult result = Ask(cpu.engine(), {{prompt, labels}}).Wait();
    CHECK_OK(result.status);
    UNSIGNED_LONGS_EQUAL(1, result.answers.size());
    UNSIGNED_LONGS_EQUAL(labels.size(), result.answers[0].size());
    for (size_t i = 0; i < labels.size(); ++i) {
      STRCMP_EQUAL(labels[i].c_str(), result.answers[0][i].label.c_str());
    }
    return result.answers[0];
  }

  Tokens TokensOf(const std::string& label) {
    const auto& tokenizer = cpu.engine().model().tokenizer();
    auto tokens = tokenizer.Encode(label, false, {false, false});
    CHECK_OK(tokens.status());
    tokens->push_back(tokenizer.vocabulary().eos);
    return *tokens;
  }

  // The sum over the label's tokens and the end of the turn, from the logits of the whole sequence.
  double Logprob(const Tokens& before, const std::string& label) {
    const Tokens tokens = TokensOf(label);
    Tokens all = before;
    all.insert(all.end(), tokens.begin(), tokens.end());
    const auto n = static_cast<uint32_t>(tokens.size() + 1);
    const std::vector<float> logits = LogitsOf(cpu.engine(), all, n);
    const size_t n_vocab = logits.size() / n;
    double sum = 0;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto row = std::span(logits).subspan(i * n_vocab, n_vocab);
      sum += static_cast<float>(row[static_cast<size_t>(tokens[i])] - LogSumExp(row));
    }
    return sum;
  }
  double Logprob(const std::string& label) { return Logprob(prompt, label); }

  // A document of so many tokens, and questions about it that have their own.
  std::vector<LabelQuestion> Questions(
      size_t n, size_t document, size_t own = 6,
      const std::vector<std::string>& labels = {"yes", "no", "yesterday"}) {
    std::vector<LabelQuestion> questions;
    for (size_t q = 0; q < n; ++q) {
      LabelQuestion& one = questions.emplace_back();
      for (size_t i = 0; i < document; ++i) one.prompt.push_back(TokenId(40 + i * 37 % 150));
      for (size_t i = 0; i < own; ++i) one.prompt.push_back(TokenId(41 + (q * 13 + i * 7) % 140));
      one.labels = labels;
    }
    return questions;
  }

  uint64_t StepsOf(const std::vector<LabelQuestion>& questions, uint64_t* rows = nullptr) {
    CpuEngine fresh(LoadModel(GoldenPath("llama.gguf")));
    CHECK_OK(Ask(fresh.engine(), questions).Wait().status);
    fresh.executor().Call([] {});
    const EngineStats stats = fresh.engine().stats();
    if (rows) *rows = stats.rows;
    return stats.steps;
  }
};

TEST(Classify, ScoresWholeLabelsAndTheirEnd) {
  for (const LabelScore& l : Run({"invoice", "letter", "in", "a longer contract", "inv"})) {
    DOUBLES_EQUAL(Logprob(l.label), l.logprob, 0);
    UNSIGNED_LONGS_EQUAL(TokensOf(l.label).size(), l.n_tokens);
    CHECK(l.prior_logprob == 0);
  }
}

TEST(Classify, HundredsOfLabelsShareTheirBeginnings) {
  const std::vector<std::string> labels = ManyLabels();
  const std::vector<LabelScore> scores = Run(labels);
  size_t n_tokens = 0;
  for (const LabelScore& l : scores) n_tokens += l.n_tokens;
  cpu.executor().Call([] {});
  CHECK(cpu.engine().stats().rows < n_tokens / 2);
  for (size_t i = 0; i < labels.size(); i += 7) {
    DOUBLES_EQUAL(Logprob(labels[i]), scores[i].logprob, 0);
  }
}

TEST(Classify, TheOrderOfLabelsDoesNotMatter) {
  const std::vector<LabelScore> one = Run({"x", "yes", "ye"});
  const std::vector<LabelScore> other = Run({"ye", "x", "yes"});
  CHECK(one[0].logprob == other[1].logprob);
  CHECK(one[1].logprob == other[2].logprob);
  CHECK(one[2].logprob == other[0].logprob);
}

TEST(Classify, RefusesLabelsThatCannotBeToldApart) {
  CHECK_ERROR(Code::kInvalid, "at least two", RefusalOf({}));
  CHECK_ERROR(Code::kInvalid, "at least two", RefusalOf({"a"}));
  CHECK_ERROR(Code::kInvalid, "'b' is given twice", RefusalOf({"a", "b", "b"}));
  CHECK_ERROR(Code::kInvalid, "no tokens", RefusalOf({"a", ""}));
  CHECK_ERROR(Code::kInvalid, "nothing is asked", Refusal({}));
  CHECK_ERROR(Code::kInvalid, "question 2: label 'b' is given twice",
              Refusal({{prompt, {"a", "b"}}, {prompt, {"b", "b"}}}));
  CHECK_ERROR(Code::kInvalid, "begin alike", Refusal({{{1, 2}, {"a", "b"}}, {{2, 2}, {"a", "b"}}}));
  CHECK_ERROR(Code::kInvalid, "the prompt is empty", Refusal({{{}, {"a", "b"}}}));
}

TEST(Classify, AQuestionOfAListHasToFitIntoAStep) {
  std::vector<LabelQuestion> questions = Questions(2, 20, 600);
  CHECK_ERROR(Code::kOutOfRange, "ask about it by itself", Refusal(questions));
  CHECK_OK(Ask(cpu.engine(), {questions[0]}).Wait().status);
}

// The bits of each answer are those of the question alone.
TEST(Classify, SeveralQuestionsHaveTheAnswersOfEachByItself) {
  for (const char* file : {"llama.gguf", "quantized.gguf", "gemma2.gguf", "mamba2.gguf"}) {
    CpuEngine model(LoadModel(GoldenPath(file)));
    for (const size_t document : {1u, 31u, 32u, 300u}) {
      const std::vector<LabelQuestion> questions = Questions(20, document);
      const ClassifyResult together = Ask(model.engine(), questions).Wait();
      CHECK_OK(together.status);
      UNSIGNED_LONGS_EQUAL(20, together.answers.size());
      for (size_t q = 0; q < questions.size(); q += 3) {
        const ClassifyResult alone = Ask(model.engine(), {questions[q]}).Wait();
        for (size_t i = 0; i < 3; ++i) {
          CHECK(together.answers[q][i].logprob == alone.answers[0][i].logprob);
        }
      }
    }
  }
}

TEST(Classify, OnePromptMayBeTheBeginningOfAnother) {
  LabelQuestion longer{prompt, {"a", "b"}};
  longer.prompt.push_back(80);
  const ClassifyResult together = Ask(cpu.engine(), {{prompt, {"x", "yes"}}, longer}).Wait();
  CHECK_OK(together.status);
  DOUBLES_EQUAL(Logprob(prompt, "yes"), together.answers[0][1].logprob, 0);
  DOUBLES_EQUAL(Logprob(longer.prompt, "a"), together.answers[1][0].logprob, 0);
}

TEST(Classify, TwentyQuestionsTakeTheStepsOfOne) {
  // One token each: three rows of logits, and one for where they begin.
  const std::vector<std::string> labels = {"a", "b", "c"};
  uint64_t one = 0, twenty = 0;
  UNSIGNED_LONGS_EQUAL(1, StepsOf(Questions(1, 200, 6, labels), &one));
  UNSIGNED_LONGS_EQUAL(1, StepsOf(Questions(20, 200, 6, labels), &twenty));
  UNSIGNED_LONGS_EQUAL(200 + 6 + 3, one);
  CHECK(twenty <= 200 + 20 * (6 + 3));  // the document is read once
  // A document of several steps: its last one has room for the questions.
  UNSIGNED_LONGS_EQUAL(2, StepsOf(Questions(1, 512 + 100, 6, labels)));
  UNSIGNED_LONGS_EQUAL(2, StepsOf(Questions(20, 512 + 100, 6, labels)));
}

TEST(Classify, UsageCountsTheTokensOfEachQuestionAndTheDocumentOnce) {
  std::vector<LabelQuestion> questions = Questions(2, 100);
  UNSIGNED_LONGS_EQUAL(112, Ask(cpu.engine(), questions).Wait().usage.prompt_tokens);
  const ClassifyResult again = Ask(cpu.engine(), questions).Wait();
  UNSIGNED_LONGS_EQUAL(112, again.usage.prompt_tokens);
  UNSIGNED_LONGS_EQUAL(100, again.usage.cached_tokens);
}

TEST(Classify, ThePriorIsTheScoreAfterItsOwnPrompt) {
  const Tokens nothing = {0, 40, 99, 70};
  const std::vector<std::string> labels = {"invoice", "in", "letter"};
  const ClassifyResult result = Ask(cpu.engine(), {{prompt, labels, nothing}}).Wait();
  CHECK_OK(result.status);
  for (const LabelScore& l : result.answers[0]) {
    DOUBLES_EQUAL(Logprob(prompt, l.label), l.logprob, 0);
    DOUBLES_EQUAL(Logprob(nothing, l.label), l.prior_logprob, 0);
  }
}

TEST(Classify, ThePriorIsScoredOnceForAllDocuments) {
  const Tokens nothing = {0, 99};
  const std::vector<std::string> labels = {"invoice", "in", "letter"};
  const auto rows = [&] {
    cpu.executor().Call([] {});
    return cpu.engine().stats().rows;
  };
  std::vector<AskedClassify> asked;
  for (TokenId d = 0; d < 8; ++d) {
    asked.push_back(Ask(cpu.engine(), {{{0, 40, TokenId(100 + d)}, labels, nothing}}));
  }
  const double first = asked[0].Wait().answers[0][0].prior_logprob;
  CHECK(first < 0);
  for (const AskedClassify& a : asked) {
    CHECK_OK(a.Wait().status);
    CHECK(first == a.Wait().answers[0][0].prior_logprob);
  }
  UNSIGNED_LONGS_EQUAL(1, cpu.engine().priors().size());
  uint64_t before = rows();
  CHECK_OK(Ask(cpu.engine(), {{{0, 40, 120}, labels, nothing}}).Wait().status);
  const uint64_t known = rows() - before;
  before = rows();
  CHECK_OK(Ask(cpu.engine(), {{{0, 40, 121}, labels}}).Wait().status);
  UNSIGNED_LONGS_EQUAL(rows() - before, known);
  CHECK_OK(Ask(cpu.engine(), {{{0, 40, 122}, {"in", "letter"}, nothing}}).Wait().status);
  UNSIGNED_LONGS_EQUAL(2, cpu.engine().priors().size());
}

TEST(Classify, APriorThatIsRefusedRefusesTheRequest) {
  const Tokens bad = {0, 1 << 20};
  CHECK_ERROR(Code::kInvalid, "not in the vocabulary", Refusal({{prompt, {"a", "b"}, bad}}));
  UNSIGNED_LONGS_EQUAL(0, cpu.engine().priors().size());
  CHECK_ERROR(Code::kInvalid, "given twice", Refusal({{prompt, {"b", "b"}, {0, 1}}}));
}

TEST(Classify, ACancelledRequestEndsOnceAndItsPriorServesOthers) {
  for (int i = 0; i < 20; ++i) {
    const Tokens nothing = {0, 40, TokenId(60 + i)};
    const AskedClassify asked =
        Ask(cpu.engine(), {{Questions(1, 300)[0].prompt, {"a", "b"}, nothing}});
    cpu.engine().Cancel(asked.id);
    const ClassifyResult& result = asked.Wait();
    CHECK(result.status.ok() || result.status.code() == Code::kCancelled);
    CHECK(result.status.ok() == !result.answers.empty());
    CHECK_OK(Ask(cpu.engine(), {{prompt, {"a", "b"}, nothing}}).Wait().status);
    cpu.executor().Call([] {});
    LONGS_EQUAL(1, asked.answer->count());
  }
}
