// What `minnow calibrate` has learned of a script's questions: PIPELINE.calibration.json, beside
// it.
//
// The classify calls of a script that ask such a question, of the same labels with the same
// options, of the same model, give calibrated probabilities. One that has changed since is refused:
// its thresholds would mean something else. Threads: a value.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/label_choice.h"

namespace minnow::script {

struct CalibratedQuestion {
  engine::DocumentQuestion question;  // of its options, length and prior count
  std::string model;                  // ModelApi::Fingerprint
  std::string model_name;
  engine::Calibration calibration;
  uint64_t documents = 0;
};

class Calibrations {
 public:
  // "" holds nothing. kCorrupt: no such file.
  static Result<Calibrations> Parse(std::string_view text, const std::string& path);
  std::string Text() const;

  // Null if the question is in no entry. kPrecondition: it was fitted for other labels, options or
  // another model. `model` tells the fingerprint of the one that is asked.
  Result<const engine::Calibration*> Find(const engine::DocumentQuestion& question,
                                          const std::function<Result<std::string>()>& model) const;
  // In place of what there was of this question and this model.
  void Put(CalibratedQuestion question);
  // Forgets what is of none of these models.
  void KeepModels(const std::vector<std::string>& fingerprints);

  bool empty() const { return questions_.empty(); }

 private:
  std::string path_;  // for messages
  std::vector<CalibratedQuestion> questions_;
};

// triage.calibration.json, of triage.lua.
std::string CalibrationPath(const std::string& script);

}  // namespace minnow::script
