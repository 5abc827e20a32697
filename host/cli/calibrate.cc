// minnow calibrate PIPELINE.lua LABELLED.jsonl [--step PLACE|QUESTION] [--json]
//
// Runs the pipeline over documents whose label is known, and learns from what the labels of one of
// its classify calls scored how to turn scores into probabilities (engine/calibration_fit.h).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/log.h"
#include "batch/source.h"
#include "cli/cli.h"
#include "engine/calibration_fit.h"
#include "script/calibration.h"
#include "script/engine_models.h"

namespace minnow::cli {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kLeastDocuments = 20;
constexpr size_t kAtOnce = 64;

struct Options {
  ModelOptions model;
  ScriptOptions script;
  std::string pipeline, labelled, step;
  bool json = false;
};

// What a call asked about a document, and how its labels scored.
struct Event {
  std::string step;
  engine::DocumentQuestion question;
  const script::ModelApi* model;
  std::vector<double> scores;
};

struct Labelled {
  std::string id, label;
  Status status;  // of the run
  std::vector<Event> events;
};

Result<std::string> LabelOf(const script::Document& document, const std::string& file) {
  const auto label = document.meta.find("label");
  if (label != document.meta.end() && label->is_string()) return label->get<std::string>();
  return Error(Code::kInvalid,
               "{}: document '{}' has no label; each line is {{\"text\": ..., \"label\": ...}}",
               file, document.id);
}

// All documents, some at a time.
class Run {
 public:
  Run(script::Loop& loop, script::Models& models, const Options& o)
      : loop_(loop), models_(models), options_(o) {}

  Status All() {
    script::PipelineOptions options{.priority = engine::Priority::kBatch};
    MNW_TRY(ReadScriptOptions(options_.script, &options.budget, &options.grants));
    options.on_classify = [this](const script::Environment::ClassifyEvent& e) {
      documents_[e.tag - 1].events.push_back({e.step, *e.question, e.model, *e.scores});
    };
    MNW_ASSIGN(pipeline_, script::Pipeline::Load(options_.pipeline, models_, loop_, options));
    MNW_ASSIGN(source_, batch::OpenSource(options_.labelled));
    for (size_t i = 0; i < kAtOnce && failed_.ok(); ++i) Next();
    if (running_ > 0) loop_.Run();
    return failed_;
  }

  const std::vector<Labelled>& documents() const { return documents_; }
  const script::Pipeline& pipeline() const { return *pipeline_; }

 private:
  // Documents are numbered as the pipeline numbers its runs.
  void Next() {
    auto item = source_->Next();
    if (!item || !failed_.ok()) return;
    if (!item->status.ok()) {
      failed_ = item->status;
      return;
    }
    auto label = LabelOf(item->document, options_.labelled);
    if (!label.ok()) {
      failed_ = label.status();
      return;
    }
    documents_.push_back({item->document.id, *std::move(label), {}, {}});
    ++running_;
    pipeline_->Run(std::move(item->document),
                   [this, i = documents_.size() - 1](script::DocumentResult result) {
                     documents_[i].status = std::move(result.status);
                     --running_;
                     Next();
                     if (running_ == 0) loop_.Stop();
                   });
  }

  script::Loop& loop_;
  script::Models& models_;
  const Options& options_;
  std::unique_ptr<batch::Source> source_;
  std::vector<Labelled> documents_;
  std::unique_ptr<script::Pipeline> pipeline_;
  size_t running_ = 0;
  Status failed_;
};

// "triage.lua:12 classify" by its place, or the question that it asks.
bool Matches(const Event& event, const std::string& step) {
  if (step.empty() || event.question.question == step || event.step == step) return true;
  const std::string place = event.step.substr(0, event.step.rfind(' '));
  return place == step || place.ends_with("/" + step);
}

// The one question of one call that is meant.
Result<Event> FindStep(const std::vector<Labelled>& documents, const std::string& step) {
  std::map<std::pair<std::string, std::string>, Event> found;
  std::set<std::string> all;
  for (const Labelled& d : documents) {
    for (const Event& e : d.events) {
      all.insert(fmt::format("{}: {}", e.step, e.question.question));
      if (Matches(e, step)) found.try_emplace({e.step, e.question.question}, e);
    }
  }
  if (all.empty()) {
    for (const Labelled& d : documents) MNW_TRY(Status(d.status).Annotate(d.id));
    return Error(Code::kInvalid, "the pipeline called classify for none of the documents");
  }
  if (found.size() == 1) return found.begin()->second;
  return Error(Code::kInvalid, "{}; name one with --step PLACE or --step QUESTION:\n  {}",
               found.empty() ? fmt::format("no classify call is '{}'", step)
                             : "the pipeline asks several questions of classify",
               fmt::join(all, "\n  "));
}

struct Data {
  std::vector<engine::LabelledScores> documents;
  size_t failed = 0, not_asked = 0;
};

Result<Data> Collect(const std::vector<Labelled>& documents, const Event& step) {
  if (step.question.options.multi) {
    return Error(Code::kUnsupported, "'{}' is asked with multi, which is not calibrated",
                 step.question.question);
  }
  const std::vector<std::string>& labels = step.question.labels;
  Data data;
  for (const Labelled& d : documents) {
    if (!d.status.ok()) {
      LogWarning("{}: {}", d.id, d.status.message());
      ++data.failed;
      continue;
    }
    const auto event = std::ranges::find_if(d.events, [&](const Event& e) {
      return e.step == step.step && e.question.question == step.question.question;
    });
    if (event == d.events.end()) {
      ++data.not_asked;
      continue;
    }
    if (event->question.labels != labels || event->model != step.model) {
      return Error(Code::kInvalid,
                   "'{}' is asked with other labels, or of another model, from document to "
                   "document ('{}'); only what is the same for all can be calibrated",
                   step.question.question, d.id);
    }
    const auto label = std::ranges::find(labels, d.label);
    if (label == labels.end()) {
      return Error(Code::kInvalid, "the label '{}' of document '{}' is none of {}", d.label, d.id,
                   fmt::join(labels, ", "));
    }
    data.documents.push_back({event->scores, static_cast<size_t>(label - labels.begin())});
  }
  if (data.documents.size() >= kLeastDocuments) return data;
  return Error(Code::kInvalid, "{} labelled documents came to '{}'; it takes at least {}",
               data.documents.size(), step.question.question, kLeastDocuments);
}

// Beside the pipeline, with what was known of its other questions.
Status Save(const Options& o, const script::Pipeline& pipeline, script::CalibratedQuestion fitted) {
  const std::string path = script::CalibrationPath(o.pipeline);
  std::ifstream old(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(old), {});
  MNW_ASSIGN(script::Calibrations all, script::Calibrations::Parse(text, path));
  MNW_ASSIGN(const auto parts, pipeline.Parts());
  std::vector<std::string> models;
  for (const auto& [name, hash] : parts) {
    if (name.starts_with("model ")) models.push_back(hash);
  }
  all.KeepModels(models);
  all.Put(std::move(fitted));
  const std::string temporary = path + ".new";
  std::ofstream file(temporary, std::ios::binary);
  file << all.Text();
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(temporary, path, error);
  if (file && !error) return {};
  std::filesystem::remove(temporary, error);
  return Error(Code::kInvalid, "cannot write '{}'", path);
}

Json QualityJson(const engine::Quality& q) {
  return {{"expected_calibration_error", q.ece},
          {"brier", q.brier},
          {"negative_log_likelihood", q.nll},
          {"accuracy", q.accuracy}};
}

void PrintQuality(const char* name, const engine::Quality& q) {
  Print(fmt::format("{:8} {:8.4f} {:8.4f} {:8.4f} {:9.4f}\n", name, q.ece, q.brier, q.nll,
                    q.accuracy));
}

VerbResult RunCalibrate(const Options& o) {
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  Run run(*loop, models, o);
  MNW_TRY(run.All());
  MNW_ASSIGN(const Event step, FindStep(run.documents(), o.step));
  MNW_ASSIGN(const Data data, Collect(run.documents(), step));
  const engine::CalibrationReport report = engine::Calibrate(data.documents);
  script::CalibratedQuestion fitted{step.question, "", step.model->name(), report.calibration,
                                    data.documents.size()};
  MNW_ASSIGN(fitted.model, step.model->Fingerprint());
  MNW_TRY(Save(o, run.pipeline(), fitted));
  const std::string file = script::CalibrationPath(o.pipeline);
  if (o.json) {
    Json bias = Json::object();
    for (size_t i = 0; i < report.calibration.bias.size(); ++i) {
      bias[step.question.labels[i]] = report.calibration.bias[i];
    }
    PrintJson({{"step", step.step},
               {"question", step.question.question},
               {"documents", data.documents.size()},
               {"failed", data.failed},
               {"not_asked", data.not_asked},
               {"temperature", report.calibration.temperature},
               {"bias", std::move(bias)},
               {"before", QualityJson(report.before)},
               {"after", QualityJson(report.after)},
               {"folds", engine::kFolds},
               {"bins", engine::kBins},
               {"file", file}});
  } else {
    Print(fmt::format("{}: {}\n{} documents", step.step, step.question.question,
                      data.documents.size()));
    if (data.not_asked > 0) Print(fmt::format(", {} that did not come to it", data.not_asked));
    if (data.failed > 0) Print(fmt::format(", {} failed", data.failed));
    Print(fmt::format("\n\n{:8} {:>8} {:>8} {:>8} {:>9}\n", "", "ECE", "Brier", "NLL", "accuracy"));
    PrintQuality("before", report.before);
    PrintQuality("after", report.after);
    Print(fmt::format(
        "\nECE: {} bins of equal width over the likeliest label's probability. Brier: the squared "
        "error summed over the labels, 0 to 2.\nAfter: each document by what was fitted to the "
        "other {} of {} folds.\nTemperature {:.4f}, biases of {} labels, in {}\n",
        engine::kBins, engine::kFolds - 1, engine::kFolds, report.calibration.temperature,
        std::ranges::count_if(report.calibration.bias, [](double b) { return b != 0; }), file));
  }
  return data.failed > 0 ? kExitSomeFailed : kExitOk;
}

}  // namespace

void AddCalibrate(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("calibrate", "Probabilities that labelled documents bear out",
                           [o] { return RunCalibrate(*o); });
  AddRuntimeOptions(verb, o->model);
  AddDraftsOption(verb, o->model);
  AddScriptOptions(verb, o->script);
  verb.Add("pipeline", o->pipeline, "The pipeline, beside which PIPELINE.calibration.json goes")
      .Required();
  verb.Add("labelled", o->labelled, "Documents with a label: lines {\"text\", \"label\"}")
      .Required();
  verb.Add("--step", o->step,
           "Which classify call, if there are several: its place, such as triage.lua:24, or its "
           "question");
  verb.AddFlag("--json", o->json, "One JSON object instead of a table");
}

}  // namespace minnow::cli
