#include "conformance/runner.h"

#include <algorithm>
#include <sstream>

#include "base/log.h"
#include "conformance/arch_cases.h"
#include "conformance/arch_file.h"
#include "conformance/child.h"
#include "formats/printable.h"
#include "plugins/device.h"
#include "plugins/host_services.h"
#include "plugins/loader.h"
#include "plugins/manifest.h"

namespace minnow::conformance {

namespace {

// The device with this id, or the first.
Result<uint32_t> FindDevice(const mnw_backend& table, const std::string& id,
                            plugins::DeviceInfo* info) {
  MNW_ASSIGN(const uint32_t n, plugins::CountDevices(table));
  std::string others;
  for (uint32_t i = 0; i < n; ++i) {
    MNW_ASSIGN(*info, plugins::ReadDeviceInfo(table, i));
    if (id.empty() || info->id == id) return i;
    others += (i ? ", " : "") + info->id;
  }
  if (n == 0) return Error(Code::kNotFound, "the backend has no device on this machine");
  return Error(Code::kNotFound, "the backend has no device '{}'; it has: {}", id, others);
}

// The ids of the architectures, a line each: how the child tells them.
std::string ListArchs(const Env& env) {
  std::string ids;
  for (uint32_t i = 0; env.archs && i < env.archs->n; ++i) {
    ids += std::string(env.archs->archs[i]->id) + "\n";
  }
  return ids;
}

std::vector<std::string> SplitLines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace

Result<Env> Runner::Open(Trace* trace) const {
  // What plugins log is not theirs to print, and not ours here.
  SetLogLevel(LogLevel::kOff);
  trace->Say("opening the library");
  MNW_ASSIGN(const plugins::Candidate candidate, plugins::Unexamined(options_.library));
  MNW_ASSIGN(const plugins::LoadedPlugin loaded, plugins::OpenLibrary(candidate));
  Env env;
  env.seed = options_.seed;
  env.allocations = options_.allocations;
  env.subject.trace = trace;
  env.archs = loaded.archs;
  env.arch_file = options_.arch_file;
  if (!loaded.backend) return env;
  trace->Say("asking for its devices");
  plugins::DeviceInfo info;
  env.subject.table = loaded.backend;
  env.subject.host = &plugins::HostServices();
  MNW_ASSIGN(env.subject.device, FindDevice(*loaded.backend, options_.device, &info));
  const bool has_buffers =
      MNW_HAS(loaded.backend, mnw_backend, buffer_write) && loaded.backend->buffer_create;
  if (!info.host_memory && !has_buffers) {
    return Error(Code::kInternal,
                 "device '{}' has memory of its own, but the backend gives no buffers there",
                 info.id);
  }
  env.subject.own_memory = !info.host_memory;
  env.subject.level = info.repeatability;
  env.subject.config = options_.config;
  env.subject.n_threads = options_.n_threads;
  env.oracle = env.subject;
  env.oracle.table = options_.reference;
  env.oracle.own_memory = false;
  env.oracle.device = 0;
  env.oracle.config = "isa=ref";
  env.oracle.n_threads = 1;
  trace->Say("the case itself");
  return env;
}

Status Runner::Prepare() {
  const auto manifest = plugins::ReadManifest(plugins::ManifestPath(options_.library));
  if (!manifest.ok()) {
    return manifest.status().Annotate(
        "its manifest, which minnow_plugin() of the CMake package writes");
  }
  MNW_TRY(plugins::CheckFitsHost(*manifest));
  kind_ = manifest->kind;
  const ChildEnd end = RunInChild(
      [this](std::span<char> where, std::string* message) {
        Trace trace(where);
        auto env = Open(&trace);
        *message = env.ok() ? ListArchs(*env) : env.status().message();
        return env.ok() ? 0 : 1;
      },
      options_.limit_ms);
  if (end.answer != 0) return Status(Code::kInternal, end.message);
  const std::vector<std::string> ids = SplitLines(end.message);
  cases_ = kind_ == "backend" ? BackendCases() : ArchCases(ids);
  if (options_.arch_file.empty()) return Status();
  MNW_ASSIGN(const ArchFile file, ArchFile::Open(options_.arch_file));
  if (std::find(ids.begin(), ids.end(), file.architecture()) != ids.end()) return Status();
  return Error(Code::kNotFound, "'{}' is for architecture '{}', which the plugin has not",
               options_.arch_file, file.architecture());
}

Report Runner::Run(const Case& c) const {
  const ChildEnd end = RunInChild(
      [&](std::span<char> where, std::string* message) {
        Trace trace(where);
        auto env = Open(&trace);
        const Verdict verdict = env.ok() ? c.run(*env) : Verdict(env.status());
        *message = verdict.ok() ? *verdict : verdict.status().message();
        const Outcome outcome = !verdict.ok()      ? Outcome::kFailed
                                : verdict->empty() ? Outcome::kOk
                                                   : Outcome::kSkipped;
        return static_cast<int>(outcome);
      },
      options_.limit_ms);
  Report report;
  report.seconds = end.seconds;
  report.message = end.message;
  if (end.answer >= 0) report.outcome = static_cast<Outcome>(end.answer);
  if (!end.printed.empty()) {
    const std::string printed = formats::Printable(end.printed, 500);
    if (report.outcome != Outcome::kFailed) {
      report.outcome = Outcome::kFailed;
      report.message = fmt::format("printed, which plugins must not: '{}'", printed);
    } else {
      report.message += fmt::format("; printed: '{}'", printed);
    }
  }
  return report;
}

}  // namespace minnow::conformance
