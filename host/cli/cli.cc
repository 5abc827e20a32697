#include "cli/cli.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/log.h"
#include "base/version.h"

namespace minnow::cli {

namespace {

int CodeOf(const Status& status) {
  switch (status.code()) {
    case Code::kInvalid:
    case Code::kNotFound:
    case Code::kOutOfRange:
      return kExitUsage;
    case Code::kCancelled:
      return kExitInterrupted;
    default:
      return kExitModel;
  }
}

}  // namespace

CLI::App* AddVerb(CLI::App& app, const std::string& name, const std::string& what,
                  std::function<VerbResult()> run) {
  CLI::App* verb = app.add_subcommand(name, what);
  verb->callback([run = std::move(run)] {
    const int code = ExitCodeOf(run());
    if (code != kExitOk) throw CLI::RuntimeError(code);
  });
  return verb;
}

int ExitCodeOf(const VerbResult& result) {
  if (result.ok()) return *result;
  std::fprintf(stderr, "minnow: %s\n", result.status().message().c_str());
  return CodeOf(result.status());
}

int Main(int argc, char** argv) {
  CLI::App app{"Minnow: the scriptable runtime for small language models", "minnow"};
  app.set_version_flag("--version", std::string("minnow ") + kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  bool quiet = false, verbose = false;
  app.add_flag("-q,--quiet", quiet, "Errors only");
  app.add_flag("-v,--verbose", verbose, "More on what happens");
  app.parse_complete_callback([&] { InitLog(quiet ? -1 : verbose ? 1 : 0); });
  AddRun(app);
  AddRepl(app);
  AddTest(app);
  AddBatch(app);
  AddServe(app);
  AddGenerate(app);
  AddClassify(app);
  AddEmbed(app);
  AddTokenize(app);
  AddTemplate(app);
  AddPerplexity(app);
  AddBench(app);
  AddInspect(app);
  AddPlugins(app);
  AddCheck(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RuntimeError& e) {  // a verb's exit code
    return e.get_exit_code();
  } catch (const CLI::ParseError& e) {
    return app.exit(e, std::cout, std::cerr) == 0 ? kExitOk : kExitUsage;
  }
  return kExitOk;
}

void AddRuntimeOptions(CLI::App& verb, ModelOptions& o) {
  verb.add_option("-t,--threads", o.n_threads, "Threads of the CPU backend; 0: one per core");
  verb.add_option("-c,--ctx-size", o.n_ctx,
                  "Tokens a sequence may have; 0: the model's, at most 8192");
  verb.add_option("--kv-tokens", o.kv_tokens,
                  "Tokens the cache holds for all sequences; 0: by memory");
  verb.add_option("--memory", o.memory_bytes,
                  "Most memory a model may take on a device, such as 4G; 0: what the device has")
      ->transform(CLI::AsSizeValue(false));
  verb.add_option("--kv-type", o.kv_type, "Type of the cache")
      ->check(CLI::IsMember({"f32", "f16", "q8_0"}));
  verb.add_option("--device", o.devices,
                  "Device, such as cpu or cpu:isa=avx2; repeat it in order of preference: a later "
                  "one gets what the earlier ones do not take")
      ->allow_extra_args(false);
  verb.add_option("--model-dir", o.model_dirs, "Folder where models are looked up by name")
      ->allow_extra_args(false);
  verb.add_option("--plugin-dir", o.plugin_dirs, "Folder with more plugins (absolute)")
      ->allow_extra_args(false);
  verb.add_flag("--strict-backend", o.strict_backend, "Refuse any fallback from the first device");
  verb.add_flag("--all-claims", o.all_claims,
                "Give each device all that it claims, even where copies cost more than it saves");
}

CLI::Option* AddModelOptions(CLI::App& verb, ModelOptions& o) {
  AddRuntimeOptions(verb, o);
  return verb
      .add_option("-m,--model", o.model,
                  "GGUF file, Hugging Face folder, or a name in a model folder")
      ->required();
}

void AddUntrustedOption(CLI::App& verb, bool& untrusted) {
  verb.add_flag(
          "--untrusted", untrusted,
          "Lua of people you do not trust: it runs in a process of its own, which can compute, "
          "ask for models of the model folders, and nothing else")
      ->excludes("--allow");
}

void AddLoraOption(CLI::App& verb, ModelOptions& o) {
  verb.add_option("--lora", o.lora,
                  "LoRA adapter: a GGUF file or a PEFT folder, perhaps with =SCALE behind it");
}

Result<engine::RuntimeOptions> ToRuntimeOptions(const ModelOptions& o) {
  engine::RuntimeOptions r;
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
  r.instance.all_claims = o.all_claims;
  r.instance.strict_backend = o.strict_backend;
  return r;
}

namespace {

// "PATH=0.5" as (PATH, 0.5). What stands behind the last = is a scale if it is a number.
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

}  // namespace

Result<OpenedModel> OpenModel(const ModelOptions& options) {
  MNW_ASSIGN(const engine::RuntimeOptions runtime_options, ToRuntimeOptions(options));
  OpenedModel opened;
  MNW_ASSIGN(opened.runtime, engine::Runtime::Create(runtime_options));
  MNW_ASSIGN(opened.engine, opened.runtime->Open(options.model));
  if (!options.lora.empty()) {
    const auto [path, scale] = SplitScale(options.lora);
    MNW_ASSIGN(opened.adapter, opened.runtime->OpenAdapter(*opened.engine, path, scale));
  }
  return opened;
}

void AddScriptOptions(CLI::App& verb, ScriptOptions& o) {
  verb.add_option("--budget", o.budget,
                  "What a script may spend before it is stopped: memory=64M,instructions=1e8,"
                  "lua=10,time=3600,tokens=none,output=1M, any of them");
  verb.add_option("--allow", o.allow,
                  "What it may reach, which is nothing by default: read=DIR,net=HOST")
      ->allow_extra_args(false);
}

Status ReadScriptOptions(const ScriptOptions& o, script::Budget* budget, script::Grants* grants) {
  if (!o.budget.empty()) MNW_TRY(script::ReadBudget(o.budget, budget));
  for (const std::string& allow : o.allow) MNW_TRY(script::ReadGrants(allow, grants));
  return {};
}

void AddSamplingOptions(CLI::App& verb, engine::Sampling& s) {
  verb.add_option("--temp", s.temperature, "Temperature; 0: always the likeliest token");
  verb.add_option("--top-k", s.top_k, "Only the k likeliest tokens; 0: off");
  verb.add_option("--top-p", s.top_p,
                  "The likeliest tokens that together have this probability; 1: off");
  verb.add_option("--min-p", s.min_p,
                  "Tokens at least this likely, relative to the likeliest; 0: off");
  verb.add_option("--seed", s.seed, "The same seed gives the same answer");
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
