#include "engine/label_choice.h"

#include <cmath>

#include "engine/document_questions.h"
#include "test_util.h"

using minnow::Code;
using minnow::engine::Answers;
using minnow::engine::Calibration;
using minnow::engine::ChooseLabel;
using minnow::engine::ClassifyResult;
using minnow::engine::DocumentQuestion;
using minnow::engine::LabelChoice;
using minnow::engine::LabelScore;
using minnow::engine::OnOverflow;
using minnow::engine::PrepareQuestions;
using minnow::engine::Probabilities;
using minnow::engine::QuestionAbout;
using minnow::engine::QuestionEncoder;
using minnow::engine::QuestionParts;
using minnow::engine::ReadAnswers;
using minnow::engine::Scores;
using minnow::engine::TokenId;

TEST_GROUP(LabelChoice) {
  DocumentQuestion question{"kind?", {"a", "b", "c"}, {}};
  const std::vector<std::vector<LabelScore>> answers{
      {{"a", -2, 1, -3}, {"b", -3, 3, -1}, {"c", -4, 2, -4}}};

  static QuestionEncoder Bytes(uint32_t longest = 1000) {
    const auto encode = [](std::string_view text) -> minnow::Result<std::vector<TokenId>> {
      return std::vector<TokenId>(text.begin(), text.end());
    };
    return {[=](std::string_view d, std::string_view q) {
              return encode(std::string(d) + "|" + std::string(q));
            },
            encode, [=]() -> minnow::Result<uint32_t> { return longest; }};
  }
  static std::string Text(const std::vector<TokenId>& tokens) {
    return {tokens.begin(), tokens.end()};
  }
};

TEST(LabelChoice, ProbabilitiesAreTheSoftmaxOfTheScoresAndSumToOne) {
  const std::vector<double> p = Probabilities(question, std::vector<double>{-1000, -1001, -5000});
  DOUBLES_EQUAL(1 / (1 + std::exp(-1.0)), p[0], 1e-15);
  DOUBLES_EQUAL(1, p[0] + p[1] + p[2], 1e-15);
  CHECK(p[2] == 0);
}

TEST(LabelChoice, TheMeanIsByTheTokensAndThePriorIsTakenAway) {
  std::vector<LabelScore> bare = answers[0];
  for (LabelScore& l : bare) l.prior_logprob = 0;
  CHECK((Scores(question, {{bare}}) == std::vector<double>{-2, -3, -4}));
  question.options.length = "mean";
  CHECK((Scores(question, {{bare}}) == std::vector<double>{-2, -1, -2}));
  CHECK((Scores(question, answers) == std::vector<double>{1, -2.0 / 3, 0}));
  question.options.length = "whole";
  CHECK((Scores(question, answers) == std::vector<double>{1, -2, 0}));
}

// p(label | document) / p(label | nothing), normalized.
TEST(LabelChoice, ThePriorDividesTheProbabilities) {
  const std::vector<double> p = Probabilities(question, Scores(question, answers));
  double ratio[3], sum = 0;
  for (size_t i = 0; i < 3; ++i) {
    sum += ratio[i] = std::exp(answers[0][i].logprob) / std::exp(answers[0][i].prior_logprob);
  }
  for (size_t i = 0; i < 3; ++i) DOUBLES_EQUAL(ratio[i] / sum, p[i], 1e-12);
}

TEST(LabelChoice, ACalibrationDividesByTheTemperatureAndAddsBiases) {
  const std::vector<double> scores{0, -2, -4};
  const std::vector<double> p = Probabilities(question, scores, {2, {0, 1, 0}});
  DOUBLES_EQUAL(1 / (1 + 1 + std::exp(-2.0)), p[0], 1e-15);
  DOUBLES_EQUAL(p[0], p[1], 1e-15);
}

TEST(LabelChoice, TheLikeliestComeFirstAndEqualOnesInTheirOrder) {
  LabelChoice choice = ChooseLabel(question, {0.25, 0.5, 0.25});
  CHECK((choice.ranking == std::vector<size_t>{1, 0, 2}));
  UNSIGNED_LONGS_EQUAL(1, *choice.label);
  question.options.top_k = 2;
  CHECK((ChooseLabel(question, {0.25, 0.5, 0.25}).ranking == std::vector<size_t>{1, 0}));
  question.options.top_k = 9;
  UNSIGNED_LONGS_EQUAL(3, ChooseLabel(question, {0.25, 0.5, 0.25}).ranking.size());
}

TEST(LabelChoice, AbstainsBelowItsThreshold) {
  question.options.abstain = 0.5;
  CHECK(ChooseLabel(question, {0.25, 0.5, 0.25}).label.has_value());
  question.options.abstain = 0.625;
  const LabelChoice choice = ChooseLabel(question, {0.25, 0.5, 0.25});
  CHECK(!choice.label.has_value());
  UNSIGNED_LONGS_EQUAL(1, choice.ranking[0]);
}

TEST(LabelChoice, WithMultiEachLabelHasItsOwnYesAndNo) {
  question = {"Is it {label}, really {label}?", {"a", "b"}, {}};
  question.options.multi = true;
  CHECK_OK(Validate(question));
  STRCMP_EQUAL("Is it a, really a?", QuestionAbout(question, "a").c_str());
  const std::vector<std::vector<LabelScore>> yes_no{{{"Yes", -1, 2}, {"No", -3, 2}},
                                                    {{"Yes", -800, 2}, {"No", -3, 2}}};
  const std::vector<double> p = Probabilities(question, Scores(question, yes_no));
  DOUBLES_EQUAL(1 / (1 + std::exp(-2.0)), p[0], 1e-15);
  DOUBLES_EQUAL(0, p[1], 1e-300);
  const LabelChoice choice = ChooseLabel(question, p);
  CHECK((choice.yes == std::vector<size_t>{0}));
  CHECK(!choice.label.has_value());
}

TEST(LabelChoice, RefusesWhatMakesNoSense) {
  question.options.length = "half";
  CHECK_ERROR(Code::kInvalid, "length is 'half', must be whole or mean", Validate(question));
  question.options = {};
  question.options.abstain = 1.5;
  CHECK_ERROR(Code::kInvalid, "abstain is 1.5", Validate(question));
  question.options = {};
  question.options.threshold = NAN;
  CHECK_ERROR(Code::kInvalid, "threshold is nan", Validate(question));
  question.options = {};
  question.options.multi = true;
  CHECK_ERROR(Code::kInvalid, "write {label} where", Validate(question));
  question.question = "{label}?";
  question.labels = {"a", "a"};
  CHECK_ERROR(Code::kInvalid, "'a' is given twice", Validate(question));
  question.labels = {"a", ""};
  CHECK_ERROR(Code::kInvalid, "label 2 is empty", Validate(question));
  question.labels = {};
  CHECK_ERROR(Code::kInvalid, "at least one label", Validate(question));
  question.labels = {"a"};
  question.options.abstain = 0.5;
  CHECK_ERROR(Code::kInvalid, "abstain is of one label", Validate(question));
}

TEST(LabelChoice, AllQuestionsSeeTheSameOfADocument) {
  std::vector<DocumentQuestion> questions{
      {"short?", {"a", "b"}, {}}, {"a much longer question than that?", {"yes!", "no"}, {}}};
  questions[1].options.prior = true;
  const std::string document(500, 'x');
  const auto parts = PrepareQuestions(document, OnOverflow::kHead, questions, Bytes(100));
  CHECK_OK(parts.status());
  UNSIGNED_LONGS_EQUAL(1, parts->requests.size());
  const auto& asked = parts->requests[0];
  UNSIGNED_LONGS_EQUAL(2, asked.size());
  const std::string first = Text(asked[0].prompt), second = Text(asked[1].prompt);
  STRCMP_EQUAL(first.substr(0, first.find('|')).c_str(),
               second.substr(0, second.find('|')).c_str());
  CHECK(second.size() + 5 <= 100);
  CHECK(second.size() > 80);
  CHECK(asked[0].prior_prompt.empty());
  STRCMP_EQUAL("N/A|a much longer question than that?", Text(asked[1].prior_prompt).c_str());
  UNSIGNED_LONGS_EQUAL(1, parts->kept.size());
}

TEST(LabelChoice, PartsOfADocumentAreWeighedByTheirLengths) {
  const std::vector<DocumentQuestion> questions{{"q", {"a", "b"}, {}}};
  const auto parts =
      PrepareQuestions(std::string(150, 'x'), OnOverflow::kChunk, questions, Bytes(104));
  CHECK_OK(parts.status());
  UNSIGNED_LONGS_EQUAL(2, parts->requests.size());
  DOUBLES_EQUAL(150, parts->weights[0] + parts->weights[1], 0);
  std::vector<ClassifyResult> results(2);
  results[0].answers = {{{"a", std::log(0.9), 1}, {"b", std::log(0.1), 1}}};
  results[1].answers = {{{"a", std::log(0.3), 1}, {"b", std::log(0.7), 1}}};
  const auto answers = ReadAnswers(questions, results, parts->weights);
  CHECK_OK(answers.status());
  const double expected = (0.9 * parts->weights[0] + 0.3 * parts->weights[1]) / 150;
  DOUBLES_EQUAL(expected, answers->choices[0].probabilities[0], 1e-12);
  CHECK(answers->scores.empty());
}

TEST(LabelChoice, RefusesAnswersToOtherQuestions) {
  const std::vector<DocumentQuestion> questions{{"q", {"a", "b"}, {}}};
  const std::vector<double> one{1};
  std::vector<ClassifyResult> results(1);
  CHECK_ERROR(Code::kCorrupt, "other questions", ReadAnswers(questions, results, one).status());
  results[0].answers = {{{"a", -1, 1}, {"c", -1, 1}}};
  CHECK_ERROR(Code::kCorrupt, "other questions", ReadAnswers(questions, results, one).status());
  results[0].answers = {{{"a", -1, 1}, {"b", -INFINITY, 1}}};
  CHECK_ERROR(Code::kCorrupt, "other questions", ReadAnswers(questions, results, one).status());
  results[0].answers = {{{"a", -1, 1}, {"b", -1, 0}}};
  CHECK_ERROR(Code::kCorrupt, "other questions", ReadAnswers(questions, results, one).status());
  results[0].answers = {{{"a", -1, 1}, {"b", -1, 1}}};
  CHECK_OK(ReadAnswers(questions, results, one).status());
}

TEST(LabelChoice, RefusesMoreThanOneCallCanHold) {
  DocumentQuestion many{"{label}?", {}, {}};
  many.options.multi = true;
  for (int i = 0; i < 1000; ++i) many.labels.push_back(std::to_string(i));
  const std::string document(10000, 'x');
  CHECK_ERROR(Code::kInvalid, "ask in several",
              PrepareQuestions(document, OnOverflow::kError, std::vector{many}, Bytes()).status());
}
