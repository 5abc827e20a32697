#include "script/calibration.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.h"

namespace minnow::script {

using Json = nlohmann::ordered_json;

namespace {

// REQUIRES: a caller that catches what Json throws.
Status ReadQuestion(const Json& json, CalibratedQuestion* out) {
  out->question.question = json.at("question").get<std::string>();
  out->question.labels = json.at("labels").get<std::vector<std::string>>();
  out->question.options.length = json.at("length").get<std::string>();
  out->question.options.prior = json.at("prior").get<bool>();
  out->model = json.at("model").at("fingerprint").get<std::string>();
  out->model_name = json.at("model").at("name").get<std::string>();
  out->documents = json.at("documents").get<uint64_t>();
  engine::Calibration& c = out->calibration;
  c.temperature = json.at("temperature").get<double>();
  bool good = std::isfinite(c.temperature) && c.temperature > 0;
  if (json.contains("bias")) {
    for (const std::string& label : out->question.labels) {
      c.bias.push_back(json["bias"].value(label, 0.0));
      good = good && std::isfinite(c.bias.back());
    }
  }
  return good ? Status() : Error(Code::kCorrupt, "a temperature or a bias is no usable number");
}

bool SameOptions(const engine::ChoiceOptions& a, const engine::ChoiceOptions& b) {
  return a.length == b.length && a.prior == b.prior;
}

}  // namespace

std::string CalibrationPath(const std::string& script) {
  constexpr std::string_view kEnding = ".lua";
  const bool ends = std::string_view(script).ends_with(kEnding);
  return script.substr(0, script.size() - (ends ? kEnding.size() : 0)) + ".calibration.json";
}

Result<Calibrations> Calibrations::Parse(std::string_view text, const std::string& path) {
  Calibrations all;
  all.path_ = path;
  if (text.empty()) return all;
  Status status;
  try {
    auto parsed = ParseJson(text);
    if (!parsed.ok()) return Error(Code::kCorrupt, "{}: {}", path, parsed.status().message());
    const Json& json = *parsed;
    if (json.at("version").get<int>() != 1) {
      return Error(Code::kUnsupported, "{}: is of another version of Minnow; calibrate again",
                   path);
    }
    for (const Json& question : json.at("questions")) {
      if (status.ok()) status = ReadQuestion(question, &all.questions_.emplace_back());
    }
  } catch (const Json::exception& e) {
    status = Error(Code::kCorrupt, "{}", e.what());
  }
  if (status.ok()) return all;
  return std::move(status).Annotate(path + ": not what `minnow calibrate` writes");
}

std::string Calibrations::Text() const {
  Json questions = Json::array();
  for (const CalibratedQuestion& q : questions_) {
    Json json = {{"question", q.question.question},
                 {"labels", q.question.labels},
                 {"length", q.question.options.length},
                 {"prior", q.question.options.prior},
                 {"model", {{"name", q.model_name}, {"fingerprint", q.model}}},
                 {"documents", q.documents},
                 {"temperature", q.calibration.temperature}};
    for (size_t i = 0; i < q.calibration.bias.size(); ++i) {
      if (q.calibration.bias[i] != 0) json["bias"][q.question.labels[i]] = q.calibration.bias[i];
    }
    questions.push_back(std::move(json));
  }
  return Json{{"version", 1}, {"questions", std::move(questions)}}.dump(
             2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

Result<const engine::Calibration*> Calibrations::Find(
    const engine::DocumentQuestion& question,
    const std::function<Result<std::string>()>& model) const {
  std::string fingerprint;
  const char* other = nullptr;  // what the nearest entry was fitted for
  for (const CalibratedQuestion& q : questions_) {
    if (q.question.question != question.question || question.options.multi) continue;
    if (fingerprint.empty()) {
      MNW_ASSIGN(fingerprint, model());
    }
    if (q.question.labels != question.labels) {
      other = "other labels";
    } else if (!SameOptions(q.question.options, question.options)) {
      other = "other options (length, prior)";
    } else if (q.model != fingerprint) {
      other = "another model";
    } else {
      return &q.calibration;
    }
  }
  if (!other) return nullptr;
  return Error(
      Code::kPrecondition,
      "{} was fitted for {} of the question '{}', so its probabilities would be wrong; run "
      "`minnow calibrate` again, or remove the file",
      path_, other, question.question);
}

void Calibrations::Put(CalibratedQuestion question) {
  std::erase_if(questions_, [&](const CalibratedQuestion& q) {
    return q.question.question == question.question.question && q.model == question.model;
  });
  questions_.push_back(std::move(question));
}

void Calibrations::KeepModels(const std::vector<std::string>& fingerprints) {
  std::erase_if(questions_, [&](const CalibratedQuestion& q) {
    return std::ranges::find(fingerprints, q.model) == fingerprints.end();
  });
}

}  // namespace minnow::script
