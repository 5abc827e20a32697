// The command line: data on stdout, progress and errors on stderr.
//
// One file per verb. A verb registers its options (command_line.h) and a function that runs when it
// was called; its line in cli.cc is all else it needs. Exit codes: 0 ok, 1 some documents failed,
// 2 usage, 3 model refused, 74 a file in use was cut (base/mapping_fault.h), 130 interrupted.
// Threads: the main thread.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cli/command_line.h"
#include "engine/overflow.h"
#include "engine/runtime.h"
#include "script/budget.h"
#include "script/grants.h"

namespace minnow::cli {

int Main(int argc, char** argv);

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
  std::string lora;                 // PATH[=SCALE], empty: none
  std::string draft;                // of the one model
  std::vector<std::string> drafts;  // MODEL=DRAFT
  uint32_t adapter_slots = model::InstanceOptions().adapter_slots;
  double step_ms = 40;
  uint64_t prefix_cache_bytes = engine::kPrefixCacheByContext;
};
void AddRuntimeOptions(Verb verb, ModelOptions& options);  // all but the model itself
Option AddModelOptions(Verb verb, ModelOptions& options);  // returns -m
void AddUntrustedOption(Verb verb, bool& untrusted);
void AddLoraOption(Verb verb, ModelOptions& options);
void AddDraftOption(Verb verb, ModelOptions& options);   // --draft DRAFT, of the one model
void AddDraftsOption(Verb verb, ModelOptions& options);  // --draft MODEL=DRAFT
// "PATH=0.5" as (PATH, 0.5). What stands behind the last = is a scale if it is a number.
std::pair<std::string, float> SplitScale(const std::string& text);
Result<engine::RuntimeOptions> ToRuntimeOptions(const ModelOptions& options);

// A runtime with its one model, and the adapter that its requests name.
struct OpenedModel {
  std::unique_ptr<engine::Runtime> runtime;
  engine::Engine* engine;
  engine::AdapterHold adapter;  // null: none
  engine::AdapterId adapter_id() const { return adapter ? adapter->id() : 0; }
};
// With `identify` answers have a fingerprint, for which the files are read.
Result<OpenedModel> OpenModel(const ModelOptions& options, bool identify = false);

// The document of a saved context, whose state is in the engine from now on.
Result<std::string> RestoreDocument(const OpenedModel& opened, const std::string& path);

// What a document or script may spend and reach.
struct ScriptOptions {
  std::string budget;
  std::vector<std::string> allow;
};
void AddScriptOptions(Verb verb, ScriptOptions& options);
Status ReadScriptOptions(const ScriptOptions& options, script::Budget* budget,
                         script::Grants* grants);

// --on-overflow, one of `n` names (engine/overflow.h), error being the first.
void AddOverflowOption(Verb verb, std::string& on_overflow, size_t n, const char* help);
// What of a text was kept, for --json; null if all of it was.
nlohmann::ordered_json OverflowJson(const std::string& on_overflow, size_t n_bytes,
                                    std::span<const engine::ByteSpan> kept);

// Sampling options of verbs that generate.
void AddSamplingOptions(Verb verb, engine::Sampling& sampling);

// A whole file; "-" is stdin.
Result<std::string> ReadInput(const std::string& path);
// To stdout, with a newline. Bytes that are no UTF-8 become U+FFFD.
void PrintJson(const nlohmann::ordered_json& value);
void Print(std::string_view text);

// The verbs.
void AddBatch(CommandLine& line);
void AddBench(CommandLine& line);
void AddCalibrate(CommandLine& line);
void AddCheck(CommandLine& line);
void AddClassify(CommandLine& line);
void AddContext(CommandLine& line);
void AddEmbed(CommandLine& line);
void AddExtract(CommandLine& line);
void AddGenerate(CommandLine& line);
void AddInspect(CommandLine& line);
void AddPerplexity(CommandLine& line);
void AddPlugins(CommandLine& line);
void AddRepl(CommandLine& line);
void AddRun(CommandLine& line);
void AddScore(CommandLine& line);
void AddServe(CommandLine& line);
void AddTemplate(CommandLine& line);
void AddSchema(CommandLine& line);
void AddTest(CommandLine& line);
void AddTokenize(CommandLine& line);

}  // namespace minnow::cli
