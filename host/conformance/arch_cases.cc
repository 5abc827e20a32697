#include "conformance/arch_cases.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <span>
#include <utility>

#include "conformance/arch_build.h"
#include "conformance/arch_graph.h"
#include "conformance/manners.h"
#include "conformance/surroundings.h"

namespace minnow::conformance {

namespace {

constexpr uint64_t kMemory = 256 << 20;  // that building a graph may take

// From here on more than kMemory is not to be had. A child process, so for good.
void LimitMemory() {
  long pages = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%ld", &pages) != 1) pages = 0;
    std::fclose(f);
  }
  if (pages == 0) return;
  const rlim_t most = static_cast<rlim_t>(pages) * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
  const struct rlimit limit = {most + kMemory, most + kMemory};
  ::setrlimit(RLIMIT_AS, &limit);
}

// An architecture with the files that it is shown.
struct Exhibit {
  const mnw_arch& arch;
  Trace& trace;
  std::vector<ArchFile> files;

  // Of a changed file; `what` was changed.
  Result<BuildEnd> Build(ArchFile& file, const std::string& what,
                         const BuildOptions& options = {}) const {
    trace.SetPrefix(what);
    auto end = conformance::Build(arch, file, options, trace);
    if (!end.ok()) return std::move(end).status().Annotate(what);
    return end;
  }
};

Result<std::vector<ArchFile>> Files(const Env& env, const mnw_arch& arch) {
  std::vector<ArchFile> files;
  if (!env.arch_file.empty()) {
    MNW_ASSIGN(ArchFile file, ArchFile::Open(env.arch_file));
    if (file.architecture() == arch.id) {
      files.push_back(std::move(file));
      return files;
    }
  }
  // It may want a tensor that it asks for only if it is there, and others may exclude each other.
  Status refusal;
  for (const bool optional : {false, true}) {
    auto file = MakeUpFile(arch, optional, *env.subject.trace);
    if (file.ok()) files.push_back(*std::move(file));
    if (!file.ok() && refusal.ok()) refusal = std::move(file).status();
  }
  if (!files.empty()) return files;
  if (refusal.code() == Code::kInternal) return refusal;
  return Error(Code::kInternal, "{}; if no made-up file will do, --model shows it a real one",
               refusal.message());
}

// Whether a person who reads the message finds what is wrong with the file.
bool NamesIt(const BuildEnd& end, const std::string& thing, const ArchFile& file) {
  const std::string& message = end.refusal.message();
  const auto names = [&](const std::string& name) {
    return message.find(name) != std::string::npos;
  };
  return names(thing) || (end.missing && names("'" + end.missing->name + "'")) ||
         std::any_of(file.tensors.begin(), file.tensors.end(),
                     [&](const graph::TensorInfo& t) { return names("'" + t.name + "'"); });
}

// A file with one change must be refused by name, or give a graph.
Status MustNameOrBuild(const Exhibit& e, ArchFile& file, const std::string& what,
                       const std::string& thing) {
  MNW_ASSIGN(const BuildEnd end, e.Build(file, what));
  if (end.graph) return CheckForm(*end.graph).Annotate(what);
  if (NamesIt(end, thing, file)) return Status();
  return Error(Code::kInternal, "{}: the refusal does not name it: {}", what,
               end.refusal.message());
}

Status CheckBuilds(const Exhibit& e, ArchFile& file) {
  MNW_ASSIGN(const BuildEnd end, e.Build(file, file.Name()));
  if (!end.graph) return Status(end.refusal).Annotate(file.Name());
  MNW_TRY(CheckForm(*end.graph).Annotate(file.Name()));
  for (const uint32_t n_ctx : {1u, 31u, 4096u, 1u << 24}) {
    const std::string what = fmt::format("a context of {}", n_ctx);
    MNW_ASSIGN(const BuildEnd other, e.Build(file, what, {.n_ctx = n_ctx}));
    const auto& asked = file.asked();
    const std::string message = other.refusal.message();
    const bool named = std::any_of(asked.begin(), asked.end(), [&](const auto& key) {
      return message.find(key.first) != std::string::npos;
    });
    if (other.graph) {
      MNW_TRY(CheckForm(*other.graph).Annotate(what));
    } else if (!named) {
      return Error(Code::kInternal, "{}: refused without the name of a key: {}", what, message);
    }
  }
  return Status();
}

Status CheckRepeats(const Exhibit& e, ArchFile& file) {
  const Manners before = Manners::Now();
  MNW_ASSIGN(const BuildEnd first, e.Build(file, file.Name()));
  if (!first.graph) return first.refusal;
  for (const Around around : {Around::kUsual, Around::kOtherMemory, Around::kOtherLocale}) {
    // What fails in between must leave nothing.
    ArchFile nothing = ArchFile::MadeUp(false);
    MNW_TRY(e.Build(nothing, "a file without tensors").status());
    const std::string what = fmt::format("{}, built {}", file.Name(), NameOf(around));
    const auto build = [&] {
      const Surroundings surroundings(around);
      return e.Build(file, what);
    };
    MNW_ASSIGN(const BuildEnd end, build());
    if (!end.graph) return Status(end.refusal).Annotate(what);
    MNW_TRY(CompareGraphs(*first.graph, *end.graph).Annotate(what));
  }
  return Manners::Now().Compare(before);
}

Status CheckMissingKeys(const Exhibit& e, ArchFile& file) {
  MNW_TRY(e.Build(file, file.Name()).status());
  for (const auto& [key, asked] : file.asked()) {
    if (!asked.answered) continue;
    ArchFile changed = file;
    changed.Remove(key);
    MNW_TRY(MustNameOrBuild(e, changed, fmt::format("without key '{}'", key), key));
  }
  return Status();
}

Status CheckMistypedKeys(const Exhibit& e, ArchFile& file) {
  MNW_TRY(e.Build(file, file.Name()).status());
  for (const auto& [key, asked] : file.asked()) {
    ArchFile changed = file;
    changed.Set(key, OtherType());
    const std::string what = fmt::format("with key '{}' of another type", key);
    MNW_ASSIGN(const BuildEnd end, e.Build(changed, what));
    if (end.graph) return Error(Code::kInternal, "{}: it was accepted", what);
    const std::string message = end.refusal.message();
    if (message.find(key) != std::string::npos) continue;
    return Error(Code::kInternal, "{}: the refusal does not name it: {}", what, message);
  }
  return Status();
}

constexpr int64_t kHuge = int64_t{1} << 40;
constexpr uint64_t kMany = 1'000'000;

struct Absurd {
  std::string name;
  KeyValue value;
  bool must_refuse;  // no field of the contract holds it
};

std::vector<Absurd> AbsurdFor(const ArchFile::Asked& asked) {
  std::vector<Absurd> values;
  if (asked.by.contains(Getter::kI64)) {
    const int64_t least = std::numeric_limits<int64_t>::min();
    for (const int64_t v : {int64_t{0}, int64_t{-1}, least, int64_t{1} << 31, kHuge}) {
      values.push_back({fmt::format("{}", v), v, v == kHuge || v == least});
    }
  }
  if (asked.by.contains(Getter::kF64)) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    for (const double v : {0.0, -1.0, 1e300, inf, std::numeric_limits<double>::quiet_NaN()}) {
      values.push_back({fmt::format("{}", v), v, false});
    }
  }
  if (asked.by.contains(Getter::kString)) {
    values.push_back({"''", std::string(), false});
    values.push_back({"of 100000 letters", std::string(100'000, 'x'), false});
    values.push_back({"'%s%n\\xff'", std::string("%s%n\xff"), false});
  }
  if (asked.by.contains(Getter::kElement)) {
    values.push_back({"an empty array", Elements{0, 0}, false});
    for (const double v : {0.0, -1.0, 0x1p31, 0x1p40}) {
      values.push_back(
          {fmt::format("an array of a million times {}", v), Elements{v, kMany}, false});
    }
  }
  return values;
}

Status CheckAbsurdKeys(const Exhibit& e, ArchFile& file) {
  MNW_TRY(e.Build(file, file.Name()).status());
  for (const auto& [key, asked] : file.asked()) {
    for (const Absurd& absurd : AbsurdFor(asked)) {
      ArchFile changed = file;
      changed.Set(key, absurd.value);
      const std::string what = fmt::format("with key '{}' = {}", key, absurd.name);
      MNW_TRY(MustNameOrBuild(e, changed, what, key));
      if (!absurd.must_refuse) continue;
      MNW_ASSIGN(const BuildEnd end, e.Build(changed, what));
      if (end.graph) return Error(Code::kInternal, "{}: it was accepted", what);
    }
  }
  return Status();
}

Status CheckMissingTensors(const Exhibit& e, ArchFile& file) {
  MNW_ASSIGN(const BuildEnd base, e.Build(file, file.Name()));
  for (const auto& [name, dims] : base.asked) {
    ArchFile changed = file;
    std::erase_if(changed.tensors, [&](const auto& t) { return t.name == name; });
    MNW_TRY(MustNameOrBuild(e, changed, fmt::format("without tensor '{}'", name), name));
  }
  return Status();
}

Status CheckTensorShapes(const Exhibit& e, ArchFile& file) {
  MNW_ASSIGN(const BuildEnd base, e.Build(file, file.Name()));
  for (const auto& [name, dims] : base.asked) {
    for (size_t axis = 0; axis < 4; ++axis) {
      ArchFile changed = file;
      const auto tensor = std::find_if(changed.tensors.begin(), changed.tensors.end(),
                                       [&](const auto& t) { return t.name == name; });
      int64_t& extent = tensor->ne[axis];
      const int64_t before = extent;
      extent += axis == 0 ? 256 : 1;  // blocks stay whole
      const std::string what = fmt::format("with tensor '{}' of {} instead of {} along axis {}",
                                           name, extent, before, axis);
      MNW_TRY(MustNameOrBuild(e, changed, what, name));
    }
  }
  return Status();
}

Status CheckAdapters(const Exhibit& e, ArchFile& file) {
  MNW_ASSIGN(const BuildEnd without, e.Build(file, "without adapters"));
  MNW_ASSIGN(const BuildEnd with, e.Build(file, "with adapters", {.adapters = true}));
  if (!without.graph) return without.refusal;
  if (!with.graph) return Status(with.refusal).Annotate("with adapters");
  return CompareSites(*without.graph, *with.graph);
}

Status CheckNewerHost(const Exhibit& e, ArchFile& file) {
  MNW_ASSIGN(const BuildEnd same, e.Build(file, file.Name()));
  MNW_ASSIGN(const BuildEnd newer, e.Build(file, "a newer host", {.age = HostAge::kNewer}));
  if (!same.graph) return same.refusal;
  if (!newer.graph) return Status(newer.refusal).Annotate("a newer host");
  return CompareGraphs(*same.graph, *newer.graph).Annotate("a newer host");
}

using Check = Status (*)(const Exhibit&, ArchFile&);

Verdict Run(const Env& env, const std::string& id, Check check) {
  const std::span archs(env.archs->archs, env.archs->n);
  const auto found = std::find_if(archs.begin(), archs.end(),
                                  [&](const mnw_arch* arch) { return id == arch->id; });
  if (found == archs.end()) return Error(Code::kNotFound, "there is no architecture '{}'", id);
  MNW_ASSIGN(std::vector<ArchFile> files, Files(env, **found));
  LimitMemory();  // a real file is mapped by now
  Exhibit exhibit{**found, *env.subject.trace, std::move(files)};
  for (ArchFile& file : exhibit.files) {
    MNW_TRY(check(exhibit, file));
  }
  return std::string();
}

}  // namespace

std::vector<Case> ArchCases(const std::vector<std::string>& ids) {
  static constexpr std::pair<const char*, Check> kChecks[] = {
      {"builds", CheckBuilds},
      {"repeats", CheckRepeats},
      {"keys/missing", CheckMissingKeys},
      {"keys/mistyped", CheckMistypedKeys},
      {"keys/absurd", CheckAbsurdKeys},
      {"tensors/missing", CheckMissingTensors},
      {"tensors/shapes", CheckTensorShapes},
      {"adapters", CheckAdapters},
      {"host/newer", CheckNewerHost},
  };
  std::vector<Case> cases;
  for (const std::string& id : ids) {
    for (const auto& [name, check] : kChecks) {
      cases.push_back({fmt::format("arch/{}/{}", id, name),
                       [id, check = check](const Env& env) { return Run(env, id, check); }});
    }
  }
  return cases;
}

}  // namespace minnow::conformance
