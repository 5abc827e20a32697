#include "cli/cli.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/log.h"
#include "base/version.h"
#include "engine/context_file.h"

namespace minnow::cli {

int Main(int argc, char** argv) {
  CommandLine line("minnow", "Minnow: the scriptable runtime for small language models",
                   std::string("minnow ") + kVersion);
  bool quiet = false, verbose = false;
  line.AddFlag("-q,--quiet", quiet, "Errors only");
  line.AddFlag("-v,--verbose", verbose, "More on what happens");
  AddRun(line);
  AddRepl(line);
  AddTest(line);
  AddBatch(line);
  AddCalibrate(line);
  AddServe(line);
  AddGenerate(line);
  AddClassify(line);
  AddExtract(line);
  AddScore(line);
  AddContext(line);
  AddEmbed(line);
  AddTokenize(line);
  AddTemplate(line);
  AddSchema(line);
  AddPerplexity(line);
  AddBench(line);
  AddInspect(line);
  AddPlugins(line);
  AddCheck(line);
  return line.Run(argc, argv, [&] { InitLog(quiet ? -1 : verbose ? 1 : 0); });
}

void AddRuntimeOptions(Verb verb, ModelOptions& o) {
  verb.Add("-t,--threads", o.n_threads, "Threads of the CPU backend; 0: one per core");
  verb.Add("-c,--ctx-size", o.n_ctx, "Tokens a sequence may have; 0: the model's, at most 8192");
  verb.Add("--kv-tokens", o.kv_tokens, "Tokens the cache holds for all sequences; 0: by memory");
  verb.Add("--memory", o.memory_bytes,
           "Most memory a model may take on a device, such as 4G; 0: what the device has")
      .Bytes();
  verb.Add("--kv-type", o.kv_type, "Type of the cache").OneOf({"f32", "f16", "q8_0"});
  verb.Add(
          "--prefix-cache", o.prefix_cache_bytes,
          "Most of each model's cache that prompts may keep for later ones, such as 2G; 0: nothing "
          "stays. Without it: four contexts, at most 512M")
      .Bytes();
  verb.Add("--adapter-slots", o.adapter_slots,
           "LoRA adapters that a model can have in memory at one time; more take turns")
      .InRange(0u, 1024u);
  verb.Add("--step-ms", o.step_ms,
           "What an interactive request has to wait for a step of batch work, in milliseconds; 0: "
           "batch steps are as large as they can be")
      .InRange(0.0, 60000.0);
  verb.Add("--device", o.devices,
           "Device, such as cpu or cpu:isa=avx2; repeat it in order of preference: a later "
           "one gets what the earlier ones do not take");
  verb.Add("--model-dir", o.model_dirs, "Folder where models are looked up by name");
  verb.Add("--plugin-dir", o.plugin_dirs, "Folder with more plugins (absolute)");
  verb.AddFlag("--strict-backend", o.strict_backend, "Refuse any fallback from the first device");
  verb.AddFlag("--all-claims", o.all_claims,
               "Give each device all that it claims, even where copies cost more than it saves");
}

Option AddModelOptions(Verb verb, ModelOptions& o) {
  AddRuntimeOptions(verb, o);
  return verb
      .Add("-m,--model", o.model, "GGUF file, Hugging Face folder, or a name in a model folder")
      .Required();
}

void AddUntrustedOption(Verb verb, bool& untrusted) {
  verb.AddFlag(
          "--untrusted", untrusted,
          "Lua of people you do not trust: it runs in a process of its own, which can compute, "
          "ask for models of the model folders, and nothing else")
      .Excludes("--allow");
}

void AddLoraOption(Verb verb, ModelOptions& o) {
  verb.Add("--lora", o.lora,
           "LoRA adapter: a GGUF file or a PEFT folder, perhaps with =SCALE behind it");
}

void AddDraftOption(Verb verb, ModelOptions& o) {
  verb.Add("--draft", o.draft,
           "A smaller model of the same vocabulary that guesses ahead where it pays: the answer is "
           "the same, only sooner");
}

void AddDraftsOption(Verb verb, ModelOptions& o) {
  verb.Add("--draft", o.drafts,
           "MODEL=DRAFT: a smaller model of the same vocabulary that guesses ahead for MODEL where "
           "it pays (may be repeated)");
}

Result<engine::RuntimeOptions> ToRuntimeOptions(const ModelOptions& o) {
  engine::RuntimeOptions r;
  if (!o.draft.empty()) r.drafts.emplace_back(o.model, o.draft);
  for (const std::string& pair : o.drafts) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos) {
      return Error(Code::kInvalid, "--draft '{}' does not say for which model: MODEL=DRAFT", pair);
    }
    r.drafts.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  r.plugin_dirs = o.plugin_dirs;
  r.model_dirs = o.model_dirs;
  r.devices = o.devices;
  r.n_threads = o.n_threads;
  r.load.n_ctx = o.n_ctx;
  r.instance.kv_tokens = o.kv_tokens;
  r.instance.memory_bytes = o.memory_bytes;
  r.instance.kv_type = o.kv_type == "f32"    ? MNW_TYPE_F32
                       : o.kv_type == "q8_0" ? MNW_TYPE_Q8_0
                                             : MNW_TYPE_F16;
  r.instance.adapter_slots = o.adapter_slots;
  r.instance.all_claims = o.all_claims;
  r.instance.strict_backend = o.strict_backend;
  r.engine.step_seconds = o.step_ms / 1000;
  r.engine.prefix_cache_bytes = o.prefix_cache_bytes;
  return r;
}

std::pair<std::string, float> SplitScale(const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals != std::string::npos && equals + 1 < text.size()) {
    const char* const number = text.c_str() + equals + 1;
    char* end = nullptr;
    const float scale = std::strtof(number, &end);
    if (*end == '\0') return {text.substr(0, equals), scale};
  }
  return {text, 1.0f};
}

Result<OpenedModel> OpenModel(const ModelOptions& options, bool identify) {
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(options));
  OpenedModel opened;
  MNW_ASSIGN(opened.runtime, engine::Runtime::Create(runtime_options));
  MNW_ASSIGN(opened.engine, opened.runtime->Open(options.model));
  if (identify) MNW_TRY(opened.runtime->Identify(*opened.engine));
  if (!options.lora.empty()) {
    const auto [path, scale] = SplitScale(options.lora);
    MNW_ASSIGN(opened.adapter, opened.runtime->OpenAdapter(*opened.engine, path, scale));
  }
  return opened;
}

Result<std::string> RestoreDocument(const OpenedModel& opened, const std::string& path) {
  MNW_ASSIGN(engine::RestoredContext restored,
             engine::RestoreContext(*opened.engine, opened.adapter_id(), path));
  return std::move(restored.document);
}

void AddScriptOptions(Verb verb, ScriptOptions& o) {
  verb.Add("--budget", o.budget,
           "What a script may spend before it is stopped: memory=64M,instructions=1e8,"
           "lua=10,time=3600,tokens=none,output=1M, any of them");
  verb.Add("--allow", o.allow,
           "What it may reach, which is nothing by default: read=DIR,net=HOST,contexts=DIR");
}

Status ReadScriptOptions(const ScriptOptions& o, script::Budget* budget, script::Grants* grants) {
  if (!o.budget.empty()) MNW_TRY(script::ReadBudget(o.budget, budget));
  for (const std::string& allow : o.allow) MNW_TRY(script::ReadGrants(allow, grants));
  return {};
}

void AddOverflowOption(Verb verb, std::string& on_overflow, size_t n, const char* help) {
  const auto& names = engine::kOnOverflowNames;
  verb.Add("--on-overflow", on_overflow, help).OneOf({names, names + n});
}

nlohmann::ordered_json OverflowJson(const std::string& on_overflow, size_t n_bytes,
                                    std::span<const engine::ByteSpan> kept) {
  if (kept.empty()) return nullptr;
  nlohmann::ordered_json spans = nlohmann::ordered_json::array();
  for (const engine::ByteSpan& span : kept) {
    spans.push_back(nlohmann::ordered_json::array({span.begin, span.end}));
  }
  return {{"on_overflow", on_overflow}, {"document_bytes", n_bytes}, {"kept", std::move(spans)}};
}

void AddSamplingOptions(Verb verb, engine::Sampling& s) {
  verb.Add("--temp", s.temperature, "Temperature; 0: always the likeliest token");
  verb.Add("--top-k", s.top_k, "Only the k likeliest tokens; 0: off");
  verb.Add("--top-p", s.top_p, "The likeliest tokens that together have this probability; 1: off");
  verb.Add("--min-p", s.min_p, "Tokens at least this likely, relative to the likeliest; 0: off");
  verb.Add("--seed", s.seed, "The same seed gives the same answer");
}

Result<std::string> ReadInput(const std::string& path) {
  std::ostringstream out;
  if (path == "-") {
    out << std::cin.rdbuf();
    return std::move(out).str();
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error(Code::kNotFound, "cannot read '{}': {}", path, std::strerror(errno));
  out << in.rdbuf();
  if (in.bad()) return Error(Code::kInvalid, "cannot read '{}'", path);
  return std::move(out).str();
}

void Print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void PrintJson(const nlohmann::ordered_json& value) {
  Print(value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace minnow::cli
