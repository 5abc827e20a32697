// minnow-check PLUGIN.so: the program behind `minnow check` (see --help, conformance/cases.h).
//
// A program of its own, since it replaces malloc, forks, and holds the CPU backend, whose level
// "ref" is the reference. Exit codes: 0 all cases hold, 1 some fail, 2 usage.
#include <fnmatch.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "check/allocations.h"
#include "conformance/runner.h"

extern "C" const mnw_plugin* mnw_plugin_entry(void);  // the CPU backend's

namespace {

using namespace minnow;
using conformance::Case;
using conformance::Outcome;
using conformance::Report;
using Json = nlohmann::ordered_json;

constexpr int kExitOk = 0, kExitSomeFailed = 1, kExitUsage = 2;

struct Options {
  conformance::CheckOptions check;
  std::vector<std::string> patterns;
  double limit_s = 20;
  bool json = false, list = false, verbose = false;
};

bool Wanted(const Options& o, const std::string& name) {
  return o.patterns.empty() ||
         std::any_of(o.patterns.begin(), o.patterns.end(), [&](const auto& p) {
           return p == name || ::fnmatch(p.c_str(), name.c_str(), 0) == 0;
         });
}

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

// The line that runs this case again.
std::string RepeatLine(const Options& o, const std::string& name) {
  std::string line = "minnow check " + Quoted(o.check.library) + " --case " + Quoted(name) +
                     fmt::format(" --seed {}", o.check.seed);
  if (!o.check.device.empty()) line += " --device " + Quoted(o.check.device);
  if (!o.check.config.empty()) line += " --config " + Quoted(o.check.config);
  if (!o.check.arch_file.empty()) line += " --model " + Quoted(o.check.arch_file);
  if (o.check.n_threads) line += fmt::format(" --threads {}", o.check.n_threads);
  return line;
}

const char* NameOf(Outcome outcome) {
  return outcome == Outcome::kOk ? "ok" : outcome == Outcome::kSkipped ? "skipped" : "failed";
}

void Print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintJson(const Json& json) {
  Print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void PrintReport(const Options& o, const std::string& name, const Report& r) {
  if (o.json) {
    Json line = {{"case", name}, {"outcome", NameOf(r.outcome)}, {"seconds", r.seconds}};
    if (!r.message.empty()) line["message"] = r.message;
    if (r.outcome == Outcome::kFailed) line["repeat"] = RepeatLine(o, name);
    PrintJson(line);
  } else if (r.outcome == Outcome::kFailed) {
    Print(fmt::format("failed   {}: {}\n         {}\n", name, r.message, RepeatLine(o, name)));
  } else if (o.verbose) {
    Print(fmt::format("{:<8} {}{}{}\n", NameOf(r.outcome), name, r.message.empty() ? "" : ": ",
                      r.message));
  }
}

int RunAll(const Options& o, const conformance::Runner& runner) {
  const bool show = !o.json && !o.verbose && ::isatty(STDERR_FILENO);
  size_t counts[3] = {};
  std::vector<const Case*> wanted;
  for (const Case& c : runner.cases()) {
    if (Wanted(o, c.name)) wanted.push_back(&c);
  }
  if (wanted.empty()) {
    std::fprintf(stderr, "minnow: no case has such a name; --list shows them\n");
    return kExitUsage;
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (show)
      std::fprintf(stderr, "\r\033[K%zu of %zu  %s", i + 1, wanted.size(), wanted[i]->name.c_str());
    const Report report = runner.Run(*wanted[i]);
    if (show) std::fprintf(stderr, "\r\033[K");
    ++counts[static_cast<size_t>(report.outcome)];
    PrintReport(o, wanted[i]->name, report);
  }
  const size_t n_failed = counts[2];
  if (o.json) {
    PrintJson({{"cases", wanted.size()},
               {"ok", counts[0]},
               {"skipped", counts[1]},
               {"failed", n_failed}});
  } else {
    Print(fmt::format("{} cases: {} ok, {} failed, {} do not apply (--verbose says why)\n",
                      wanted.size(), counts[0], n_failed, counts[1]));
  }
  return n_failed ? kExitSomeFailed : kExitOk;
}

int Run(Options& o) {
  std::error_code error;
  o.check.library = std::filesystem::absolute(o.check.library, error).lexically_normal().string();
  if (!std::filesystem::is_regular_file(o.check.library, error)) {
    std::fprintf(stderr, "minnow: there is no file '%s'\n", o.check.library.c_str());
    return kExitUsage;
  }
  o.check.limit_ms = static_cast<int>(o.limit_s * 1000);
  o.check.reference = mnw_plugin_entry()->backend(MNW_ABI_MINOR);
  o.check.allocations = check::AllocationControls();
  conformance::Runner runner(o.check);
  if (const Status status = runner.Prepare(); !status.ok()) {
    PrintReport(o, "load", {Outcome::kFailed, status.message(), 0});
    return kExitSomeFailed;
  }
  if (o.list) {
    for (const Case& c : runner.cases()) {
      if (Wanted(o, c.name)) Print(c.name + "\n");
    }
    return kExitOk;
  }
  return RunAll(o, runner);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Tells the author of a plugin what is wrong with it", "minnow check"};
  Options o;
  app.add_option("plugin", o.check.library, "The library; its manifest lies beside it")->required();
  app.add_option("--case", o.patterns, "Only the cases of this name, such as 'op/linear/*'")
      ->allow_extra_args(false);
  app.add_option("--seed", o.check.seed, "Of the numbers that the cases are made of");
  app.add_option("--device", o.check.device, "Of the backend's devices; default: the first");
  app.add_option("--config", o.check.config, "The backend's own settings, key=value,key=value");
  app.add_option("-m,--model", o.check.arch_file,
                 "A GGUF file that the architecture it names is shown, instead of a made-up one")
      ->check(CLI::ExistingFile);
  app.add_option("-t,--threads", o.check.n_threads, "Threads of the backend; 0: its choice");
  app.add_option("--time-limit", o.limit_s, "Seconds that a case may take")
      ->check(CLI::Range(0.1, 3600.0));
  app.add_flag("--list", o.list, "The names of the cases");
  app.add_flag("--json", o.json, "A line of JSON for each case, and one at the end");
  app.add_flag("-v,--verbose", o.verbose, "Also the cases that hold, and why others do not apply");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kExitOk : kExitUsage;
  }
  return Run(o);
}
