#include "script/calibration.h"

#include <cmath>

#include "script/script_fixture.h"

using minnow::Code;
using minnow::engine::DocumentQuestion;
using minnow::script::CalibratedQuestion;
using minnow::script::CalibrationPath;
using minnow::script::Calibrations;
using minnow::script::Pipeline;
using minnow::script::PipelineOptions;
using minnow::test::ScriptFixture;

TEST_GROUP(Calibration) {
  ScriptFixture f;

  static CalibratedQuestion Fitted(double temperature = 2) {
    CalibratedQuestion q{{"kind?", {"letter", "receipt"}, {}}, "fake fake", "fake", {}, 40};
    q.calibration = {temperature, {0, 0.5}};
    return q;
  }
  static std::string File(const CalibratedQuestion& question) {
    Calibrations all;
    all.Put(question);
    return all.Text();
  }

  // Of the label that the fake gives 0.75.
  minnow::Result<double> Probability(Pipeline & pipeline) {
    const auto result = f.RunAll(pipeline, {"a receipt"})[0];
    if (!result.status.ok()) return result.status;
    return result.value.get<double>();
  }
  std::unique_ptr<Pipeline> Load(const char* options = "nil") {
    auto pipeline = f.Load(fmt::format(
        "return m:classify(doc, 'kind?', {{ 'letter', 'receipt' }}, {}).probabilities.receipt",
        options));
    CHECK_OK(pipeline.status());
    return *std::move(pipeline);
  }
  std::string path() const { return CalibrationPath(f.dir / "test.lua"); }
  void Keep(const CalibratedQuestion& question) {
    f.Write("test.calibration.json", File(question));
  }
};

TEST(Calibration, StandsBesideItsScript) {
  STRCMP_EQUAL("a/triage.calibration.json", CalibrationPath("a/triage.lua").c_str());
  STRCMP_EQUAL("triage.calibration.json", CalibrationPath("triage").c_str());
}

TEST(Calibration, IsReadAsItWasWritten) {
  const auto back = Calibrations::Parse(File(Fitted()), "x");
  CHECK_OK(back.status());
  STRCMP_EQUAL(File(Fitted()).c_str(), back->Text().c_str());
  const auto found = back->Find(Fitted().question, [] { return std::string("fake fake"); });
  CHECK_OK(found.status());
  DOUBLES_EQUAL(2, (*found)->temperature, 0);
  CHECK(((*found)->bias == std::vector<double>{0, 0.5}));
}

TEST(Calibration, RefusesAFileThatIsNone) {
  for (const char* text :
       {"{", "[]", "{}", R"({"version":1})", R"({"version":1,"questions":[{}]})",
        R"({"version":1,"questions":[3]})", R"({"version":"1","questions":[]})"}) {
    CHECK_ERROR(Code::kCorrupt, "x.json", Calibrations::Parse(text, "x.json").status());
  }
  CHECK_ERROR(Code::kUnsupported, "calibrate again",
              Calibrations::Parse(R"({"version":2,"questions":[]})", "x").status());
  CalibratedQuestion bad = Fitted(0);
  CHECK_ERROR(Code::kCorrupt, "no usable number", Calibrations::Parse(File(bad), "x").status());
  bad = Fitted(-1);
  CHECK_ERROR(Code::kCorrupt, "no usable number", Calibrations::Parse(File(bad), "x").status());
}

TEST(Calibration, APipelinesCallsAreCalibratedByWhatStandsBesideIt) {
  DOUBLES_EQUAL(0.75, *Probability(*Load()), 1e-12);
  Keep(Fitted());
  // Scores 0 and -ln 3, over 2, and 0.5 for the receipt.
  const double receipt = std::exp(0.5), letter = std::sqrt(1.0 / 3);
  DOUBLES_EQUAL(receipt / (receipt + letter), *Probability(*Load()), 1e-12);
}

TEST(Calibration, OtherQuestionsAreLeftAlone) {
  CalibratedQuestion other = Fitted();
  other.question.question = "who?";
  Keep(other);
  DOUBLES_EQUAL(0.75, *Probability(*Load()), 1e-12);
}

TEST(Calibration, IsRefusedForOtherLabelsOptionsAndModels) {
  CalibratedQuestion other = Fitted();
  other.question.labels.push_back("invoice");
  Keep(other);
  CHECK_ERROR(Code::kPrecondition, "was fitted for other labels of the question 'kind?'",
              Probability(*Load()).status());
  Keep(Fitted());
  CHECK_ERROR(Code::kPrecondition, "other options",
              Probability(*Load("{ length = 'mean' }")).status());
  other = Fitted();
  other.model = "another";
  Keep(other);
  CHECK_ERROR(Code::kPrecondition, "run `minnow calibrate` again", Probability(*Load()).status());
  f.Write("test.calibration.json", "{");
  CHECK_ERROR(Code::kCorrupt, "test.calibration.json", f.Load("return 1").status());
}

TEST(Calibration, KeepsOneEntryForEachQuestionAndModel) {
  Calibrations all;
  all.Put(Fitted(2));
  all.Put(Fitted(3));
  CalibratedQuestion other = Fitted(4);
  other.model = "another";
  all.Put(other);
  const auto temperature = [&](const char* model) {
    const auto found = all.Find(Fitted().question, [&] { return std::string(model); });
    return found.ok() ? (*found)->temperature : -1;
  };
  DOUBLES_EQUAL(3, temperature("fake fake"), 0);
  DOUBLES_EQUAL(4, temperature("another"), 0);
  all.KeepModels({"another"});
  DOUBLES_EQUAL(-1, temperature("fake fake"), 0);
  DOUBLES_EQUAL(4, temperature("another"), 0);
}

TEST(Calibration, IsAPartOfThePipeline) {
  const auto parts = [&] { return *Load()->Parts(); };
  const auto none = parts();
  Keep(Fitted(2));
  const auto two = parts();
  Keep(Fitted(3));
  CHECK(none.size() + 1 == two.size());
  CHECK(two != parts());
  LONGS_EQUAL(two.size(), Load()->n_parts());
  CHECK(Load()->files().contains(path()));
}

TEST(Calibration, WhoFitsOneSeesTheBareScores) {
  if (f.options.untrusted) return;  // an untrusted pipeline is not calibrated
  Keep(Fitted());
  std::vector<double> scores;
  std::string step;
  uint64_t tag = 0;
  f.options.on_classify = [&](const minnow::script::Environment::ClassifyEvent& e) {
    scores = *e.scores;
    step = e.step;
    tag = e.tag;
    STRCMP_EQUAL("kind?", e.question->question.c_str());
    STRCMP_EQUAL("fake", e.model->name().c_str());
  };
  DOUBLES_EQUAL(0.75, *Probability(*Load()), 1e-12);
  DOUBLES_EQUAL(-std::log(3), scores.at(0), 1e-12);
  DOUBLES_EQUAL(0, scores.at(1), 1e-12);
  LONGS_EQUAL(1, tag);
  CHECK(step.find("test.lua:2 classify") != std::string::npos);
}
