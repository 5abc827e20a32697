// The command line: data on stdout, progress and errors on stderr.
//
// One file per verb. A verb registers its options and a function that runs when it was called; its
// line in cli.cc is all else it needs. Exit codes: 0 ok, 1 some documents failed, 2 usage, 3 model
// refused, 74 a file in use was cut (base/mapping_fault.h), 130 interrupted. Threads: the main
// thread.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "engine/runtime.h"
#include "script/budget.h"
#include "script/grants.h"

namespace minnow::cli {

inline constexpr int kExitOk = 0, kExitSomeFailed = 1, kExitUsage = 2, kExitModel = 3,
                     kExitInterrupted = 130;

int Main(int argc, char** argv);

// What a verb's function returns: an exit code, or a Status that becomes a message and exit code 2
// or 3.
using VerbResult = Result<int>;
int ExitCodeOf(const VerbResult& result);  // after a message, if it is a failure

// Adds a verb. `run` is called after the options are parsed.
CLI::App* AddVerb(CLI::App& app, const std::string& name, const std::string& what,
                  std::function<VerbResult()> run);

// Options of verbs that open models.
struct ModelOptions {
  std::string model;
  uint32_t n_threads = 0;
  uint32_t n_ctx = 0;
  uint32_t kv_tokens = 0;
  uint64_t memory_bytes = 0;
  std::string kv_type = "f16";
  std::vector<std::string> devices;
  std::vector<std::string> plugin_dirs, model_dirs;
  bool all_claims = false, strict_backend = false;
  std::string lora;  // PATH[=SCALE], empty: none
};
void AddRuntimeOptions(CLI::App& verb, ModelOptions& options);        // all but the model itself
CLI::Option* AddModelOptions(CLI::App& verb, ModelOptions& options);  // returns -m
void AddUntrustedOption(CLI::App& verb, bool& untrusted);
void AddLoraOption(CLI::App& verb, ModelOptions& options);
Result<engine::RuntimeOptions> ToRuntimeOptions(const ModelOptions& options);

// A runtime with its one model, and the adapter that its requests name.
struct OpenedModel {
  std::unique_ptr<engine::Runtime> runtime;
  engine::Engine* engine;
  engine::AdapterId adapter = 0;
};
Result<OpenedModel> OpenModel(const ModelOptions& options);

// What a document or script may spend and reach.
struct ScriptOptions {
  std::string budget;
  std::vector<std::string> allow;
};
void AddScriptOptions(CLI::App& verb, ScriptOptions& options);
Status ReadScriptOptions(const ScriptOptions& options, script::Budget* budget,
                         script::Grants* grants);

// Sampling options of verbs that generate.
void AddSamplingOptions(CLI::App& verb, engine::Sampling& sampling);

// A whole file; "-" is stdin.
Result<std::string> ReadInput(const std::string& path);
// To stdout, with a newline. Bytes that are no UTF-8 become U+FFFD.
void PrintJson(const nlohmann::ordered_json& value);
void Print(std::string_view text);

// The verbs.
void AddBatch(CLI::App& app);
void AddBench(CLI::App& app);
void AddCheck(CLI::App& app);
void AddClassify(CLI::App& app);
void AddEmbed(CLI::App& app);
void AddGenerate(CLI::App& app);
void AddInspect(CLI::App& app);
void AddPerplexity(CLI::App& app);
void AddPlugins(CLI::App& app);
void AddRepl(CLI::App& app);
void AddRun(CLI::App& app);
void AddServe(CLI::App& app);
void AddTemplate(CLI::App& app);
void AddTest(CLI::App& app);
void AddTokenize(CLI::App& app);

}  // namespace minnow::cli
