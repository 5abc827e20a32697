// What the scores of labels say: probabilities, and which label it is, or none.
//
// Probabilities are the softmax of the scores, so they sum to one. A score is the log-probability
// of the whole label, the end of the turn included: the probability with which the model would have
// answered just that. So no length needs correcting where the model knows the labels; the mean over
// a label's tokens is for labels that it would not say of itself, of very different lengths. The
// prior is what the label scores about no document: without it, a label that the question alone
// suggests loses its lead. A calibration (calibration.h) comes last. Threads: pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/classify.h"

namespace minnow::engine {

struct ChoiceOptions {
  std::string length = "whole";  // or "mean"
  bool prior = false;
  uint32_t top_k = 0;      // how many labels are told; 0: all
  float abstain = 0;       // no label whose probability is below
  bool multi = false;      // each label by itself: yes or no
  float threshold = 0.5f;  // with multi: the probability from which on it is yes
};
Status Validate(const ChoiceOptions& options);  // names the option and its range

// A question as people put it: to a document.
struct DocumentQuestion {
  std::string question;  // with multi, {label} stands for each
  std::vector<std::string> labels;
  ChoiceOptions options{};
};
Status Validate(const DocumentQuestion& question);

inline constexpr const char* kYes = "Yes";  // with multi, the labels of each question
inline constexpr const char* kNo = "No";

// What the question is for one of its labels, with multi.
std::string QuestionAbout(const DocumentQuestion& question, std::string_view label);

// What was learned of a question from labelled documents: scores are divided by the temperature,
// then biases are added.
struct Calibration {
  double temperature = 1;
  std::vector<double> bias{};  // by label; empty: none
};

// A label's score. With multi: the logarithm of the odds of yes.
std::vector<double> Scores(const DocumentQuestion& question,
                           std::span<const std::vector<LabelScore>> answers);
// By label: they sum to one, or with multi are each by itself.
std::vector<double> Probabilities(const DocumentQuestion& question, std::span<const double> scores,
                                  const Calibration& calibration = {});

struct LabelChoice {
  std::vector<double> probabilities;  // by label
  std::vector<size_t> ranking;        // labels, the likeliest first; top_k of them
  std::optional<size_t> label;        // the likeliest, unless it abstains; none with multi
  std::vector<size_t> yes;            // with multi: in the order of the labels
};
LabelChoice ChooseLabel(const DocumentQuestion& question, std::vector<double> probabilities);

}  // namespace minnow::engine
