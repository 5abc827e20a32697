// minnow test FILE_test.lua [MORE...]
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/cli.h"
#include "script/engine_models.h"
#include "script/recorded_models.h"
#include "script/test_file.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  ScriptOptions script;
  std::vector<std::string> files;
  std::string filter;
  bool record = false, json = false;
};

struct Counts {
  size_t passed = 0, failed = 0, pending = 0;
};

std::string AnswersPath(const std::string& file) {
  return std::filesystem::path(file).replace_extension("answers.jsonl").string();
}

// Tells people, or programs, of one test.
void Report(const Options& o, const std::string& file, const script::TestFile::Test& test,
            const Status& status) {
  const char* const state = test.pending ? "pending" : status.ok() ? "passed" : "failed";
  if (o.json) {
    nlohmann::ordered_json line = {
        {"file", file}, {"where", test.where}, {"path", test.path}, {"status", state}};
    if (!status.ok()) line["message"] = status.message();
    PrintJson(line);
    return;
  }
  std::string text = fmt::format("{:7} {}", state, fmt::join(test.path, " > "));
  if (!status.ok()) {
    text += status.message().starts_with(test.where) ? "\n  " : fmt::format("\n  {}: ", test.where);
    for (const char c : status.message())
      text += c == '\n' ? std::string("\n    ") : std::string(1, c);
  }
  Print(text + "\n");
}

// A failure, and what had no answer even if the script made do without.
Status RunTest(script::TestFile& file, const script::TestFile::Test& test,
               script::ReplayedModels* replayed) {
  Status status = file.Run(test);
  const std::vector<std::string> missing =
      replayed ? replayed->TakeMissing() : std::vector<std::string>();
  if (!status.ok() || missing.empty()) return status;
  return Error(Code::kNotFound, "{}", missing[0]);
}

Result<std::unique_ptr<script::TestFile>> Load(const Options& o, const std::string& path,
                                               script::Models& models, script::Loop& loop) {
  script::PipelineOptions options{.priority = engine::Priority::kInteractive};
  MNW_TRY(ReadScriptOptions(o.script, &options.budget, &options.grants));
  return script::TestFile::Load(path, o.filter, models, loop, options);
}

void RunTests(const Options& o, const std::string& path, script::Models& models, script::Loop& loop,
              script::ReplayedModels* replayed, Counts* counts) {
  const auto file = Load(o, path, models, loop);
  if (replayed) (void)replayed->TakeMissing();
  if (!file.ok()) {
    Report(o, path, {.path = {path}, .where = path}, file.status());
    ++counts->failed;
    return;
  }
  for (const script::TestFile::Test& test : (*file)->tests()) {
    Status status;
    if (!test.pending) status = RunTest(**file, test, replayed);
    Report(o, path, test, status);
    ++(test.pending ? counts->pending : status.ok() ? counts->passed : counts->failed);
  }
}

Status Replay(const Options& o, const std::string& path, script::Loop& loop, Counts* counts) {
  script::Recording recording;
  MNW_TRY(recording.Load(AnswersPath(path)));
  script::ReplayedModels models(recording, "minnow test --record " + path + " asks the models");
  RunTests(o, path, models, loop, &models, counts);
  return {};
}

struct Recorder {
  explicit Recorder(script::Models& asked) : models(script::RecordModels(asked, recording)) {}
  script::Recording recording;
  const std::unique_ptr<script::Models> models;
};

// Answers that nobody asked for are dropped when all tests have run to their ends.
Status Record(const Options& o, const std::string& path, script::Loop& loop, Recorder& recorder,
              Counts* counts) {
  const size_t failed = counts->failed;
  RunTests(o, path, *recorder.models, loop, nullptr, counts);
  if (!o.filter.empty() || counts->failed > failed) {
    MNW_TRY(recorder.recording.Load(AnswersPath(path)));
  }
  return recorder.recording.Save(AnswersPath(path));
}

Status RecordAll(const Options& o, script::Loop& loop, Counts* counts) {
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  std::vector<std::unique_ptr<Recorder>> recorders;  // the ends of cancelled requests may come late
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  for (const std::string& path : o.files) {
    recorders.push_back(std::make_unique<Recorder>(models));
    MNW_TRY(Record(o, path, loop, *recorders.back(), counts));
  }
  return {};
}

VerbResult Run(const Options& o) {
  for (const std::string& path : o.files) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
      return Error(Code::kNotFound, "{}: no such file", path);
    }
  }
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  Counts counts;
  if (o.record) MNW_TRY(RecordAll(o, *loop, &counts));
  for (const std::string& path : o.files) {
    if (!o.record) MNW_TRY(Replay(o, path, *loop, &counts));
  }
  if (counts.passed + counts.failed + counts.pending == 0) {
    return Error(Code::kNotFound, "no test{}",
                 o.filter.empty() ? " in these files" : " matches '" + o.filter + "'");
  }
  if (!o.json) {
    Print(fmt::format("{} passed, {} failed, {} pending\n", counts.passed, counts.failed,
                      counts.pending));
  }
  return counts.failed > 0 ? kExitSomeFailed : kExitOk;
}

}  // namespace

void AddTest(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("test", "Tests of pipelines, with recorded answers of the models",
                           [o] { return Run(*o); });
  verb.Add("files", o->files, "Test files, FILE_test.lua").Required();
  verb.Add("--filter", o->filter, "Only tests whose names match this Lua pattern");
  verb.AddFlag("--record", o->record,
               "Ask the models, and keep their answers in FILE_test.answers.jsonl");
  verb.AddFlag("--json", o->json, "A line of JSON for each test");
  AddRuntimeOptions(verb, o->model);
  AddScriptOptions(verb, o->script);
}

}  // namespace minnow::cli
