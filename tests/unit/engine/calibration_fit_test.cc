#include "engine/calibration_fit.h"

#include <cmath>
#include <random>

#include "test_util.h"

using minnow::engine::Calibrate;
using minnow::engine::Calibration;
using minnow::engine::CalibrationReport;
using minnow::engine::FitCalibration;
using minnow::engine::LabelledScores;
using minnow::engine::Measure;
using minnow::engine::Probabilities;
using minnow::engine::Quality;

namespace {

// Labels that are drawn with the probabilities softmax(true), shown as scores = (true - bias) * t.
std::vector<LabelledScores> Drawn(size_t n, double temperature, const std::vector<double>& bias,
                                  uint32_t seed) {
  std::mt19937 rng(seed);
  const auto uniform = [&] { return static_cast<double>(rng()) / 4294967296.0; };
  std::vector<LabelledScores> documents;
  for (size_t d = 0; d < n; ++d) {
    std::vector<double> truth, p;
    for (size_t i = 0; i < bias.size(); ++i) truth.push_back(4 * uniform());
    double total = 0;
    for (const double t : truth) total += p.emplace_back(std::exp(t));
    double u = uniform() * total;
    LabelledScores one{{}, 0};
    while (one.label + 1 < p.size() && u >= p[one.label]) u -= p[one.label++];
    for (size_t i = 0; i < bias.size(); ++i) {
      one.scores.push_back((truth[i] - bias[i]) * temperature);
    }
    documents.push_back(std::move(one));
  }
  return documents;
}

double Loss(const std::vector<LabelledScores>& documents, const Calibration& c) {
  double loss = std::pow(1 / c.temperature - 1, 2) / 2;
  for (const double b : c.bias) loss += b * b / 2;
  for (const LabelledScores& d : documents) {
    loss -= std::log(Probabilities({}, d.scores, c)[d.label]);
  }
  return loss;
}

}  // namespace

TEST_GROUP(CalibrationFit){};

TEST(CalibrationFit, FindsTheTemperatureAndTheBiasesThatLabelsWereDrawnWith) {
  const std::vector<double> bias{1, -1, 0};
  const Calibration c = FitCalibration(Drawn(4000, 3, bias, 1), true);
  DOUBLES_EQUAL(3, c.temperature, 0.2);
  for (size_t i = 0; i < 3; ++i) DOUBLES_EQUAL(bias[i], c.bias[i], 0.15);
}

TEST(CalibrationFit, IsTheMinimum) {
  const auto documents = Drawn(100, 2, {0.5, 0, -0.5, 0}, 2);
  const Calibration best = FitCalibration(documents, true);
  const double least = Loss(documents, best);
  for (const double step : {-1e-3, 1e-3}) {
    Calibration other = best;
    other.temperature += step;
    CHECK(Loss(documents, other) > least);
    for (size_t i = 0; i < 4; ++i) {
      other = best;
      other.bias[i] += step;
      CHECK(Loss(documents, other) > least);
    }
  }
}

TEST(CalibrationFit, TheSameDocumentsGiveTheSameBits) {
  const Calibration a = FitCalibration(Drawn(200, 2, {1, 0, 0}, 3), true);
  const Calibration b = FitCalibration(Drawn(200, 2, {1, 0, 0}, 3), true);
  CHECK(a.temperature == b.temperature && a.bias == b.bias);
}

TEST(CalibrationFit, ALabelOfFewDocumentsHasNoBias) {
  std::vector<LabelledScores> documents = Drawn(200, 1, {1, -1}, 4);
  for (LabelledScores& d : documents) d.scores.push_back(-9);
  for (size_t i = 0; i < 9; ++i) documents[i].label = 2;
  CHECK(FitCalibration(documents, true).bias[2] == 0);
  documents[9].label = 2;
  CHECK(FitCalibration(documents, true).bias[2] > 0);
}

TEST(CalibrationFit, DocumentsThatAreAllRightMakeNobodyCertain) {
  std::vector<LabelledScores> documents;
  for (size_t i = 0; i < 30; ++i) {
    documents.push_back({{0, -1}, 0});
    documents.push_back({{-1, 0}, 1});
  }
  const double t = FitCalibration(documents, true).temperature;
  CHECK(t > 0.1 && t < 1);
}

TEST(CalibrationFit, ScoresThatSpeakAgainstTheLabelsCountForNextToNothing) {
  std::vector<LabelledScores> documents;
  for (size_t i = 0; i < 60; ++i) documents.push_back({{0, -5}, 1});
  const Calibration c = FitCalibration(documents, true);
  DOUBLES_EQUAL(50, c.temperature, 1e-9);
  CHECK(Probabilities({}, std::vector<double>{0, -5}, c)[1] > 0.9);
}

TEST(CalibrationFit, SurvivesEqualScoresHugeOnesAndASingleDocument) {
  for (const double scale : {0.0, 1e6}) {
    const Calibration c =
        FitCalibration(std::vector<LabelledScores>{{{0, -scale, -scale}, 0}}, true);
    CHECK(std::isfinite(c.temperature) && c.temperature > 0);
    const CalibrationReport r =
        Calibrate(std::vector<LabelledScores>{{{0, -scale}, 0}, {{0, -scale}, 1}});
    CHECK(std::isfinite(r.after.nll) && std::isfinite(r.calibration.temperature));
  }
}

TEST(CalibrationFit, MeasuresByHand) {
  const std::vector<LabelledScores> documents{{{0, 0}, 0}, {{0, 0}, 1}, {{0, 0}, 0}};
  const std::vector<std::vector<double>> p{{0.9, 0.1}, {0.92, 0.08}, {0.4, 0.6}};
  const Quality q = Measure(documents, p);
  DOUBLES_EQUAL(1.0 / 3, q.accuracy, 1e-12);
  DOUBLES_EQUAL((2 * 0.01 + 2 * 0.92 * 0.92 + 2 * 0.36) / 3, q.brier, 1e-12);
  DOUBLES_EQUAL(-(std::log(0.9) + std::log(0.08) + std::log(0.4)) / 3, q.nll, 1e-12);
  // One bin has 0.9 and 0.92, of which one is right; another 0.6, which is wrong.
  DOUBLES_EQUAL(((0.9 + 0.92 - 1) + 0.6) / 3, q.ece, 1e-12);
}

TEST(CalibrationFit, WhatIsOverconfidentIsBetterAfterwardsOnDocumentsHeldOut) {
  const CalibrationReport r = Calibrate(Drawn(600, 4, {0, 0, 0}, 5));
  CHECK(r.before.ece > 0.15);
  CHECK(r.after.ece < 0.06);
  CHECK(r.after.brier < r.before.brier);
  CHECK(r.after.nll < r.before.nll);
}

// Labels that have nothing to do with the scores: held out, no fit can find anything in them.
TEST(CalibrationFit, TheFigureAfterIsOfDocumentsThatWereNotFitted) {
  std::mt19937 rng(6);
  std::vector<LabelledScores> documents;
  for (size_t i = 0; i < 50; ++i) {
    LabelledScores one{{}, rng() % 4};
    for (size_t k = 0; k < 4; ++k) one.scores.push_back(double(rng() % 100) / 25);
    documents.push_back(std::move(one));
  }
  CHECK(Calibrate(documents).after.nll > std::log(4.0) - 0.1);
}
