// A calibration from labelled documents, and how good probabilities are.
//
// The fit minimizes the negative log-likelihood of the labels over the inverse temperature and the
// biases, a convex function, by Newton's method: the same documents give the same numbers. Both are
// drawn to their neutral values by a quadratic penalty of weight one, so that a few documents, or
// some that are all answered right, do not make them extreme. Threads: pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/label_choice.h"

namespace minnow::engine {

struct LabelledScores {
  std::vector<double> scores;  // by label; of all the same number
  size_t label;                // the right one
};

inline constexpr size_t kBiasDocuments = 10;  // of its label, for a bias
inline constexpr size_t kFolds = 5;
inline constexpr size_t kBins = 15;

// REQUIRES: at least one. `biases`: of the labels with at least kBiasDocuments.
Calibration FitCalibration(std::span<const LabelledScores> documents, bool biases);

struct Quality {
  double accuracy = 0;
  double nll = 0;    // mean negative log-likelihood of the right label
  double brier = 0;  // mean over documents of the squared error summed over labels: 0 to 2
  double ece = 0;    // expected calibration error of the likeliest label, kBins bins of equal width
};
// `probabilities`: by document, then label.
Quality Measure(std::span<const LabelledScores> documents,
                std::span<const std::vector<double>> probabilities);

struct CalibrationReport {
  Calibration calibration;  // of all documents
  Quality before;
  // Of each document by what was fitted to the four fifths it is not in.
  Quality after;
};
// Biases only if they make held-out documents more likely.
CalibrationReport Calibrate(std::span<const LabelledScores> documents);

}  // namespace minnow::engine
