// minnow run FILE.lua [ARGUMENT...]
#include "script/run.h"

#include "cli/cli.h"
#include "script/engine_models.h"

namespace minnow::cli {

namespace {

struct Options {
  ModelOptions model;
  ScriptOptions script;
  std::string file;
  std::vector<std::string> arguments;
  bool untrusted = false;
};

VerbResult Run(const Options& o) {
  MNW_ASSIGN(const std::unique_ptr<script::Loop> loop, script::Loop::Create());
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(o.model));
  MNW_ASSIGN(const std::unique_ptr<engine::Runtime> runtime,
             engine::Runtime::Create(runtime_options));
  script::EngineModels models(*runtime);
  script::FolderModels folder_models(models, *runtime);
  script::Budget budget = script::ScriptBudget();
  script::Grants grants;
  MNW_TRY(ReadScriptOptions(o.script, &budget, &grants));
  MNW_ASSIGN(const script::ScriptEnd end,
             o.untrusted
                 ? script::RunUntrustedScript(o.file, o.arguments, folder_models, *loop, {}, budget)
                 : script::RunScript(o.file, o.arguments, models, *loop, budget, grants));
  if (end == script::ScriptEnd::kPipeline) {
    return Error(
        Code::kInvalid,
        "'{}' is a pipeline; give it documents: minnow batch {} --input DIR --output OUT.jsonl",
        o.file, o.file);
  }
  return kExitOk;
}

}  // namespace

void AddRun(CommandLine& line) {
  auto o = std::make_shared<Options>();
  Verb verb = line.AddVerb("run", "A Lua script", [o] { return Run(*o); });
  AddRuntimeOptions(verb, o->model);
  AddDraftsOption(verb, o->model);
  AddScriptOptions(verb, o->script);
  verb.Add("file", o->file, "The script").Required();
  verb.Add("arguments", o->arguments, "The script's arguments (its ...)");
  AddUntrustedOption(verb, o->untrusted);
  verb.ArgumentsEndOptions();
}

}  // namespace minnow::cli
