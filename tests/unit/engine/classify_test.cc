#include "engine/classify.h"

#include <cmath>

#include "build_tree.h"
#include "engine/answer.h"
#include "engine/sampler.h"

using minnow::Code;
using minnow::engine::Classify;
using minnow::engine::ClassifyRequest;
using minnow::engine::ClassifyResult;
using minnow::engine::LabelScore;
using minnow::engine::LogSumExp;
using minnow::engine::TokenId;
using minnow::test::Answer;
using minnow::test::CpuEngine;
using minnow::test::GoldenPath;
using minnow::test::LoadModel;
using minnow::test::LogitsOf;

TEST_GROUP(Classify) {
  CpuEngine cpu{LoadModel(GoldenPath("llama.gguf"))};
  const std::vector<TokenId> prompt = {0, 40, 50, 60, 70};

  minnow::Status Refusal(std::vector<std::string> labels) {
    ClassifyRequest request;
    request.prompt = prompt;
    request.labels = std::move(labels);
    request.on_done = [](ClassifyResult) { FAIL("on_done of a refused request"); };
    return Classify(cpu.engine(), std::move(request)).status();
  }

  ClassifyResult Run(const std::vector<std::string>& labels) {
    Answer<ClassifyResult> answer;
    ClassifyRequest request;
    request.prompt = prompt;
    request.labels = labels;
    request.on_done = [&](ClassifyResult r) { answer.Set(std::move(r)); };
    CHECK_OK(Classify(cpu.engine(), std::move(request)).status());
    ClassifyResult result = answer.Wait();
    CHECK_OK(result.status);
    CheckSound(labels, result);
    return result;
  }

  void CheckSound(const std::vector<std::string>& labels, const ClassifyResult& result) {
    UNSIGNED_LONGS_EQUAL(labels.size(), result.labels.size());
    double total = 0;
    for (size_t i = 0; i < labels.size(); ++i) {
      STRCMP_EQUAL(labels[i].c_str(), result.labels[i].label.c_str());
      CHECK(result.labels[i].probability <= result.labels[result.best].probability);
      total += result.labels[i].probability;
    }
    DOUBLES_EQUAL(1, total, 1e-12);
  }

  // The sum over the label's tokens and the end of the turn, from the logits of the whole sequence.
  double Logprob(const std::string& label) {
    const auto& tokenizer = cpu.engine().model().tokenizer();
    auto tokens = tokenizer.Encode(label, false, {false, false});
    CHECK_OK(tokens.status());
    tokens->push_back(tokenizer.vocabulary().eos);
    std::vector<TokenId> all = prompt;
    all.insert(all.end(), tokens->begin(), tokens->end());
    const auto n = static_cast<uint32_t>(tokens->size() + 1);
    const std::vector<float> logits = LogitsOf(cpu.engine(), all, n);
    const size_t n_vocab = logits.size() / n;
    double sum = 0;
    for (size_t i = 0; i < tokens->size(); ++i) {
      const auto row = std::span(logits).subspan(i * n_vocab, n_vocab);
      sum += row[static_cast<size_t>((*tokens)[i])] - LogSumExp(row);
    }
    return sum;
  }
};

TEST(Classify, ScoresWholeLabelsAndTheirEnd) {
  const std::vector<std::string> labels = {"invoice", "letter", "in", "a longer contract", "inv"};
  const ClassifyResult result = Run(labels);
  for (const LabelScore& l : result.labels) DOUBLES_EQUAL(Logprob(l.label), l.logprob, 1e-5);
}

TEST(Classify, ProbabilitiesAreTheSoftmaxOfTheLogprobs) {
  const ClassifyResult result = Run({"ab", "cd", "e"});
  double total = 0;
  for (const LabelScore& l : result.labels) total += std::exp(l.logprob);
  for (const LabelScore& l : result.labels)
    DOUBLES_EQUAL(std::exp(l.logprob) / total, l.probability, 1e-9);
}

TEST(Classify, ALabelThatBeginsAnotherCompetesWithItsEnd) {
  const ClassifyResult result = Run({"re", "receipt"});
  DOUBLES_EQUAL(Logprob("re"), result.labels[0].logprob, 1e-5);
  DOUBLES_EQUAL(Logprob("receipt"), result.labels[1].logprob, 1e-5);
}

TEST(Classify, TheOrderOfLabelsDoesNotMatter) {
  const ClassifyResult one = Run({"x", "yes", "ye"});
  const ClassifyResult other = Run({"ye", "x", "yes"});
  CHECK(one.labels[0].logprob == other.labels[1].logprob);
  CHECK(one.labels[1].logprob == other.labels[2].logprob);
  CHECK(one.labels[2].logprob == other.labels[0].logprob);
}

TEST(Classify, RefusesLabelsThatCannotBeToldApart) {
  CHECK_ERROR(Code::kInvalid, "at least two", Refusal({}));
  CHECK_ERROR(Code::kInvalid, "at least two", Refusal({"a"}));
  CHECK_ERROR(Code::kInvalid, "'b' is given twice", Refusal({"a", "b", "b"}));
  CHECK_ERROR(Code::kInvalid, "no tokens", Refusal({"a", ""}));
}
