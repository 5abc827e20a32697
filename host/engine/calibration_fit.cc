#include "engine/calibration_fit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace minnow::engine {

namespace {

constexpr double kLeastInverse = 0.02;  // temperature 50
constexpr double kPenalty = 1;

// Parameters: the inverse temperature, then the biases of some labels.
struct Problem {
  std::span<const LabelledScores> documents;
  std::vector<int> bias_of;  // by label: its parameter, or -1
  size_t n = 1;
  double fixed_inverse = 0;  // not 0: the first parameter is this

  std::vector<double> ProbabilitiesOf(const LabelledScores& d, const std::vector<double>& x,
                                      double* log_total) const {
    std::vector<double> p(d.scores.size());
    double most = -INFINITY;
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] = x[0] * d.scores[i] + (bias_of[i] >= 0 ? x[static_cast<size_t>(bias_of[i])] : 0);
      most = std::max(most, p[i]);
    }
    const double right = p[d.label];
    double total = 0;
    for (double& v : p) total += v = std::exp(v - most);
    for (double& v : p) v /= total;
    *log_total = std::log(total) + most - right;
    return p;
  }

  double Loss(const std::vector<double>& x) const {
    double loss = kPenalty / 2 * (x[0] - 1) * (x[0] - 1);
    for (size_t k = 1; k < n; ++k) loss += kPenalty / 2 * x[k] * x[k];
    for (const LabelledScores& d : documents) {
      double one = 0;
      ProbabilitiesOf(d, x, &one);
      loss += one;
    }
    return loss;
  }

  void Derivatives(const std::vector<double>& x, std::vector<double>& gradient,
                   std::vector<double>& hessian) const {
    gradient.assign(n, 0);
    hessian.assign(n * n, 0);
    gradient[0] = kPenalty * (x[0] - 1);
    for (size_t k = 1; k < n; ++k) gradient[k] = kPenalty * x[k];
    for (size_t k = 0; k < n; ++k) hessian[k * n + k] = kPenalty;
    std::vector<double> mean(n);
    for (const LabelledScores& d : documents) {
      double loss = 0;
      const std::vector<double> p = ProbabilitiesOf(d, x, &loss);
      // Each label is the vector (its score, 1 at its bias); the Hessian is their covariance.
      std::fill(mean.begin(), mean.end(), 0);
      for (size_t i = 0; i < p.size(); ++i) {
        mean[0] += p[i] * d.scores[i];
        if (bias_of[i] >= 0) mean[static_cast<size_t>(bias_of[i])] += p[i];
      }
      for (size_t k = 0; k < n; ++k) gradient[k] += mean[k];
      gradient[0] -= d.scores[d.label];
      if (bias_of[d.label] >= 0) gradient[static_cast<size_t>(bias_of[d.label])] -= 1;
      for (size_t i = 0; i < p.size(); ++i) {
        hessian[0] += p[i] * d.scores[i] * d.scores[i];
        if (bias_of[i] < 0) continue;
        const auto k = static_cast<size_t>(bias_of[i]);
        hessian[k * n + k] += p[i];
        hessian[k * n] += p[i] * d.scores[i];
        hessian[k] += p[i] * d.scores[i];
      }
      for (size_t k = 0; k < n; ++k) {
        for (size_t l = 0; l < n; ++l) hessian[k * n + l] -= mean[k] * mean[l];
      }
    }
    if (fixed_inverse == 0) return;
    gradient[0] = 0;
    for (size_t k = 1; k < n; ++k) hessian[k] = hessian[k * n] = 0;
  }
};

// Of a positive definite matrix, by Cholesky; `a` is used up.
std::vector<double> Solve(std::vector<double>& a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    for (size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(std::max(a[j * n + j], 1e-12));
    for (size_t i = j + 1; i < n; ++i) {
      for (size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

std::vector<double> Minimize(const Problem& problem, std::vector<double> x) {
  std::vector<double> gradient, hessian;
  double loss = problem.Loss(x);
  for (int round = 0; round < 100; ++round) {
    problem.Derivatives(x, gradient, hessian);
    const std::vector<double> step = Solve(hessian, gradient);
    double scale = 1, best = loss;
    std::vector<double> next = x;
    for (int halved = 0; halved < 40; ++halved, scale /= 2) {
      for (size_t k = 0; k < x.size(); ++k) next[k] = x[k] - scale * step[k];
      best = problem.Loss(next);
      if (best < loss) break;
    }
    if (!(best < loss - 1e-12 * std::abs(loss))) return best < loss ? next : x;
    x = next;
    loss = best;
  }
  return x;
}

std::vector<double> Calibrated(const LabelledScores& d, const Calibration& calibration) {
  return Probabilities({}, d.scores, calibration);
}

// Documents of each label go to the folds in turns.
std::vector<size_t> Folds(std::span<const LabelledScores> documents) {
  std::vector<size_t> order(documents.size()), fold(documents.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return documents[a].label < documents[b].label; });
  for (size_t i = 0; i < order.size(); ++i) fold[order[i]] = i % kFolds;
  return fold;
}

std::vector<std::vector<double>> HeldOut(std::span<const LabelledScores> documents, bool biases) {
  const std::vector<size_t> fold = Folds(documents);
  std::vector<std::vector<double>> probabilities(documents.size());
  for (size_t f = 0; f < kFolds; ++f) {
    std::vector<LabelledScores> others;
    for (size_t i = 0; i < documents.size(); ++i) {
      if (fold[i] != f) others.push_back(documents[i]);
    }
    const Calibration c = others.empty() ? Calibration() : FitCalibration(others, biases);
    for (size_t i = 0; i < documents.size(); ++i) {
      if (fold[i] == f) probabilities[i] = Calibrated(documents[i], c);
    }
  }
  return probabilities;
}

}  // namespace

Calibration FitCalibration(std::span<const LabelledScores> documents, bool biases) {
  const size_t n_labels = documents[0].scores.size();
  Problem problem{documents, std::vector<int>(n_labels, -1)};
  std::vector<size_t> count(n_labels, 0);
  for (const LabelledScores& d : documents) ++count[d.label];
  for (size_t i = 0; biases && i < n_labels; ++i) {
    if (count[i] >= kBiasDocuments) problem.bias_of[i] = static_cast<int>(problem.n++);
  }
  std::vector<double> x(problem.n, 0);
  x[0] = 1;
  x = Minimize(problem, x);
  if (x[0] <
      kLeastInverse) {  // the scores speak against the labels: they count for next to nothing
    problem.fixed_inverse = x[0] = kLeastInverse;
    x = Minimize(problem, x);
  }
  Calibration calibration{1 / x[0]};
  if (problem.n == 1) return calibration;
  for (const int k : problem.bias_of) {
    calibration.bias.push_back(k < 0 ? 0 : x[static_cast<size_t>(k)]);
  }
  return calibration;
}

Quality Measure(std::span<const LabelledScores> documents,
                std::span<const std::vector<double>> probabilities) {
  Quality q;
  const auto n = static_cast<double>(documents.size());
  std::vector<double> right(kBins, 0), confidence(kBins, 0);
  for (size_t d = 0; d < documents.size(); ++d) {
    const std::vector<double>& p = probabilities[d];
    const auto best = static_cast<size_t>(std::max_element(p.begin(), p.end()) - p.begin());
    const bool is_right = best == documents[d].label;
    const size_t bin = std::min(kBins - 1, static_cast<size_t>(p[best] * kBins));
    right[bin] += is_right;
    confidence[bin] += p[best];
    q.accuracy += is_right / n;
    q.nll -= std::log(std::max(p[documents[d].label], 1e-300)) / n;
    for (size_t i = 0; i < p.size(); ++i) {
      const double error = p[i] - (i == documents[d].label);
      q.brier += error * error / n;
    }
  }
  for (size_t b = 0; b < kBins; ++b) q.ece += std::abs(right[b] - confidence[b]) / n;
  return q;
}

CalibrationReport Calibrate(std::span<const LabelledScores> documents) {
  CalibrationReport report;
  std::vector<std::vector<double>> plain;
  for (const LabelledScores& d : documents) plain.push_back(Calibrated(d, {}));
  report.before = Measure(documents, plain);
  report.after = Measure(documents, HeldOut(documents, false));
  const Quality biased = Measure(documents, HeldOut(documents, true));
  const bool biases = biased.nll < report.after.nll;
  if (biases) report.after = biased;
  report.calibration = FitCalibration(documents, biases);
  return report;
}

}  // namespace minnow::engine
