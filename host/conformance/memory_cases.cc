// What happens when memory runs out, and what is left behind.
#include <sys/types.h>

#include <filesystem>

#include "conformance/play.h"

namespace minnow::conformance {

namespace {

namespace fs = std::filesystem;

// One life of a context: open, load, plan, run, close.
Status Live(const Subject& subject, const Written& written, std::vector<Outputs>* outputs) {
  MNW_ASSIGN(const auto context, Context::Open(subject));
  MNW_ASSIGN(const std::string refusal, Refusal(*context, written.sketch));
  if (!refusal.empty()) return Error(Code::kUnsupported, "not claimed: {}", refusal);
  MNW_ASSIGN(*outputs, Play(*context, written.sketch, written.tellings[0]));
  return Status();
}

// Fails the n-th allocation of a life and judges what became of it.
Status FailOnce(const Env& env, const Subject& subject, const Written& written, int64_t n,
                bool sticky, const Bound& bound, const Reference& reference, bool* failed) {
  std::vector<Outputs> outputs;
  env.allocations->arm(n, sticky);
  const Status status = Live(subject, written, &outputs);
  *failed = env.allocations->failed();
  env.allocations->arm(0, false);
  if (status.ok()) return CompareWith(written.sketch, bound, reference.outputs, outputs);
  if (!*failed) return status;
  if (status.code() == Code::kExhausted) return Status();
  return Error(Code::kInternal, "must answer MNW_OUT_OF_MEMORY, but: {}", status.message());
}

Verdict CheckFailing(const Env& env, const Recipe& recipe) {
  if (!env.allocations) return std::string("this program does not control allocations");
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  Subject subject = env.subject;
  subject.allocations = env.allocations;
  std::vector<Outputs> outputs;
  if (Status s = Live(subject, *written, &outputs); !s.ok()) {
    if (s.code() == Code::kUnsupported) return s.message();
    return s;
  }
  MNW_ASSIGN(const Reference reference, PlayReference(env, written->sketch, written->tellings[0]));
  if (!reference.refusal.empty()) return "the reference has it not: " + reference.refusal;
  for (const bool sticky : {false, true}) {
    bool failed = true;
    // Beyond the first hundred only some: lives that allocate in every row are long.
    for (int64_t n = 1; failed; n += 1 + n / 100) {
      const std::string which =
          fmt::format("allocation {}{} fails", n, sticky ? " and all after it" : "");
      subject.trace->SetPrefix(which);
      if (Status s = FailOnce(env, subject, *written, n, sticky, recipe.bound, reference, &failed);
          !s.ok()) {
        return std::move(s).Annotate(which);
      }
    }
  }
  // All of that has left nothing behind that matters.
  subject.trace->SetPrefix("after allocations failed");
  MNW_TRY(Live(subject, *written, &outputs));
  MNW_TRY(CompareWith(written->sketch, recipe.bound, reference.outputs, outputs));
  return std::string();
}

int64_t CountEntries(const char* directory) {
  std::error_code error;
  int64_t n = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory, error)) ++n;
  return n;
}

// What a process holds.
struct Held {
  int64_t allocations, threads, files;
};
Held Count(const Env& env) {
  const int64_t live = env.allocations->live();
  return {live, CountEntries("/proc/self/task"), CountEntries("/proc/self/fd")};
}

Status CompareHeld(const Held& before, const Held& after, int n, const char* what) {
  // Caches of the C library and of the loader may grow once; a leak grows each time.
  const auto check = [&](const char* of, int64_t then, int64_t now) {
    if (now - then < n) return Status();
    return Error(Code::kInternal, "{} {} left {} {} behind", n, what, now - then, of);
  };
  MNW_TRY(check("allocations", before.allocations, after.allocations));
  MNW_TRY(check("threads", before.threads, after.threads));
  return check("open files", before.files, after.files);
}

Verdict CheckLeaks(const Env& env, const Recipe& recipe) {
  if (!env.allocations) return std::string("this program does not control allocations");
  constexpr int kLives = 6, kRuns = 20;
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  for (int i = 0; i < 3; ++i) {
    std::vector<Outputs> outputs;
    const Status s = Live(env.subject, *written, &outputs);
    if (s.code() == Code::kUnsupported) return s.message();
    MNW_TRY(s);
  }
  const Held before = Count(env);
  for (int i = 0; i < kLives; ++i) {
    std::vector<Outputs> outputs;
    MNW_TRY(Live(env.subject, *written, &outputs));
  }
  MNW_TRY(CompareHeld(before, Count(env), kLives, "contexts opened and closed"));

  const Telling& telling = written->tellings[0];
  MNW_ASSIGN(const auto context, Context::Open(env.subject));
  MNW_ASSIGN(const auto program, Program::Make(*context, written->sketch, Largest(telling)));
  const auto run = [&]() -> Status {
    for (const Step& step : telling.steps) MNW_TRY(program->Run(step).status());
    return Status();
  };
  for (int i = 0; i < 3; ++i) MNW_TRY(run());
  const Held first = Count(env);
  for (int i = 0; i < kRuns; ++i) MNW_TRY(run());
  MNW_TRY(CompareHeld(first, Count(env), kRuns, "runs"));
  return std::string();
}

}  // namespace

void AddMemoryCases(std::vector<Case>& cases) {
  for (const Recipe& r : FirstOfEachOp()) {
    cases.push_back(
        {"memory/failing/" + r.name, [r](const Env& env) { return CheckFailing(env, r); }});
    cases.push_back({"memory/leaks/" + r.name, [r](const Env& env) { return CheckLeaks(env, r); }});
  }
}

}  // namespace minnow::conformance
