#include "engine/label_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace minnow::engine {

namespace {

constexpr std::string_view kPlace = "{label}";

std::vector<double> Softmax(std::vector<double> x) {
  const double most = *std::max_element(x.begin(), x.end());
  double total = 0;
  for (double& v : x) total += v = std::exp(v - most);
  for (double& v : x) v /= total;
  return x;
}

Status CheckProbability(const char* name, float value) {
  if (value >= 0 && value <= 1) return {};
  return Error(Code::kInvalid, "{} is {}, must be a probability, from 0 to 1", name, value);
}

}  // namespace

Status Validate(const ChoiceOptions& options) {
  if (options.length != "whole" && options.length != "mean") {
    return Error(Code::kInvalid, "length is '{}', must be whole or mean", options.length);
  }
  MNW_TRY(CheckProbability("abstain", options.abstain));
  MNW_TRY(CheckProbability("threshold", options.threshold));
  if (options.multi && options.abstain > 0) {
    return Error(Code::kInvalid,
                 "abstain is of one label among several; with multi each has its threshold");
  }
  return {};
}

Status Validate(const DocumentQuestion& question) {
  MNW_TRY(Validate(question.options));
  if (!question.options.multi) return {};
  if (question.question.find(kPlace) == std::string::npos) {
    return Error(Code::kInvalid,
                 "with multi each label is a question of its own: write {} where it stands in "
                 "'{}', such as 'Is this about {}?'",
                 kPlace, question.question, kPlace);
  }
  if (question.labels.empty()) return Error(Code::kInvalid, "multi needs at least one label");
  for (size_t i = 0; i < question.labels.size(); ++i) {
    const std::string& label = question.labels[i];
    if (label.empty()) return Error(Code::kInvalid, "label {} is empty", i + 1);
    const auto end = question.labels.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(question.labels.begin(), end, label) != end) {
      return Error(Code::kInvalid, "label '{}' is given twice", label);
    }
  }
  return {};
}

std::string QuestionAbout(const DocumentQuestion& question, std::string_view label) {
  std::string text;
  size_t at = 0;
  for (;;) {
    const size_t place = question.question.find(kPlace, at);
    text.append(question.question, at, place - at);
    if (place == std::string::npos) return text;
    text += label;
    at = place + kPlace.size();
  }
}

std::vector<double> Scores(const DocumentQuestion& question,
                           std::span<const std::vector<LabelScore>> answers) {
  const auto score = [&](const LabelScore& l) {
    const double sum = l.logprob - l.prior_logprob;
    return question.options.length == "mean" ? sum / l.n_tokens : sum;
  };
  std::vector<double> scores;
  if (question.options.multi) {
    for (const auto& answer : answers) scores.push_back(score(answer[0]) - score(answer[1]));
  } else {
    for (const LabelScore& label : answers[0]) scores.push_back(score(label));
  }
  return scores;
}

std::vector<double> Probabilities(const DocumentQuestion& question, std::span<const double> scores,
                                  const Calibration& calibration) {
  std::vector<double> x(scores.begin(), scores.end());
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] /= calibration.temperature;
    if (!calibration.bias.empty()) x[i] += calibration.bias[i];
  }
  if (!question.options.multi) return Softmax(std::move(x));
  for (double& v : x) v = v >= 0 ? 1 / (1 + std::exp(-v)) : std::exp(v) / (1 + std::exp(v));
  return x;
}

LabelChoice ChooseLabel(const DocumentQuestion& question, std::vector<double> probabilities) {
  const ChoiceOptions& o = question.options;
  LabelChoice choice;
  choice.ranking.resize(probabilities.size());
  std::iota(choice.ranking.begin(), choice.ranking.end(), 0);
  std::stable_sort(choice.ranking.begin(), choice.ranking.end(),
                   [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  const size_t best = choice.ranking[0];
  for (size_t i = 0; o.multi && i < probabilities.size(); ++i) {
    if (probabilities[i] >= double{o.threshold}) choice.yes.push_back(i);
  }
  if (!o.multi && probabilities[best] >= double{o.abstain}) choice.label = best;
  if (o.top_k > 0 && o.top_k < choice.ranking.size()) choice.ranking.resize(o.top_k);
  choice.probabilities = std::move(probabilities);
  return choice;
}

}  // namespace minnow::engine
