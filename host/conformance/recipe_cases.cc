// What every recipe is checked for, and what the first recipe of each op is.
#include <algorithm>
#include <array>
#include <minnow/sdk/graph_view.hpp>
#include <thread>

#include "conformance/play.h"

namespace minnow::conformance {

namespace {

std::string NotClaimed(const std::string& reason) { return "not claimed: " + reason; }
std::string NoReference(const std::string& reason) { return "the reference has it not: " + reason; }

// The plan that served a step serves an empty one and then the same step again.
Status RunAgain(Context& context, const Recipe& recipe, const Sketch& sketch,
                const Outputs& reference) {
  MNW_ASSIGN(const auto program, Program::Make(context, sketch, sketch.symbols()));
  const Step step{sketch.symbols(), sketch.inputs(), {}, {}};
  Step empty{{}, sketch.inputs(), {}, {}};
  for (auto& [id, bytes] : empty.inputs) {
    const mnw_value& v = sketch.graph().value(id);
    bytes.resize(static_cast<size_t>(sdk::Bytes(v, empty.symbols)));
  }
  for (const Step* s : {&step, &std::as_const(empty), &step}) {
    Result<Outputs> outputs = program->Run(*s);
    if (!outputs.ok()) {
      return std::move(outputs).status().Annotate(s == &empty ? "a step without rows" : "again");
    }
    if (s == &empty) continue;
    if (Status c = CompareWith(sketch, recipe.bound, {reference}, {*outputs}); !c.ok()) {
      return std::move(c).Annotate("a second run of the plan");
    }
  }
  return Status();
}

Verdict CheckValues(const Env& env, const Recipe& recipe) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  const Sketch& sketch = written->sketch;
  MNW_ASSIGN(const auto context, Context::Open(env.subject));
  MNW_ASSIGN(const std::string refusal, Refusal(*context, sketch));
  if (!refusal.empty()) return NotClaimed(refusal);
  MNW_ASSIGN(const Reference reference, PlayReference(env, sketch, written->tellings[0]));
  if (!reference.refusal.empty()) return NoReference(reference.refusal);
  auto outputs = Play(*context, sketch, written->tellings[0]);
  if (!outputs.ok()) return std::move(outputs).status().Annotate("claimed, but");
  MNW_TRY(CompareWith(sketch, recipe.bound, reference.outputs, *outputs));
  if (!recipe.tell) MNW_TRY(RunAgain(*context, recipe, sketch, reference.outputs[0]));
  return std::string();
}

Verdict CheckRepeats(const Env& env, const Recipe& recipe) {
  const char level = env.subject.level;
  if (level == 0) return std::string("no level of repeatability is declared");
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  MNW_ASSIGN(const auto context, Context::Open(env.subject));
  MNW_ASSIGN(const std::string refusal, Refusal(*context, written->sketch));
  if (!refusal.empty()) return NotClaimed(refusal);
  Rows rows;
  for (const Telling& telling : written->tellings) {
    if (telling.level > level) continue;
    auto outputs = Play(*context, written->sketch, telling);
    if (!outputs.ok()) return std::move(outputs).status().Annotate(telling.name);
    MNW_TRY(Gather(env, written->sketch, telling, *outputs, &rows));
  }
  return std::string();
}

// A host of another age gets the same claims and the same values.
Verdict CheckHost(const Env& env, const Recipe& recipe, HostAge age) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  Env other = env;
  other.subject.age = age;
  MNW_ASSIGN(const auto context, Context::Open(env.subject));
  MNW_ASSIGN(const std::string here, Refusal(*context, written->sketch));
  MNW_ASSIGN(const auto other_context, Context::Open(other.subject));
  MNW_ASSIGN(const std::string there, Refusal(*other_context, written->sketch));
  if (here.empty() && !there.empty()) {
    return Error(Code::kInternal, "not claimed from a host of another age: {}", there);
  }
  return CheckValues(other, recipe);
}

Verdict CheckLate(const Env& env, const Recipe& recipe) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  MNW_ASSIGN(const auto context, Context::Open(env.subject));
  MNW_ASSIGN(const std::string refusal, Refusal(*context, written->sketch));
  if (!refusal.empty()) return NotClaimed(refusal);
  MNW_TRY(Play(*context, written->sketch, written->tellings[0], true).status());
  return std::string();
}

Verdict CheckParallel(const Env& env, const Recipe& recipe) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  const Sketch& sketch = written->sketch;
  MNW_ASSIGN(const Reference reference, PlayReference(env, sketch, written->tellings[0]));
  if (!reference.refusal.empty()) return NoReference(reference.refusal);
  struct Side {
    std::array<char, 256> text{};
    Trace trace{text};
    Subject subject;
    std::unique_ptr<Context> context;
    Status status;
  };
  std::array<Side, 2> sides;
  for (Side& side : sides) {
    side.subject = env.subject;
    side.subject.trace = &side.trace;
    MNW_ASSIGN(side.context, Context::Open(side.subject));
    MNW_ASSIGN(const std::string refusal, Refusal(*side.context, sketch));
    if (!refusal.empty()) return NotClaimed(refusal);
  }
  env.subject.trace->Say("two contexts in two threads");
  const auto work = [&](Side& side) {
    for (int i = 0; i < 4 && side.status.ok(); ++i) {
      auto outputs = Play(*side.context, sketch, written->tellings[0]);
      side.status = outputs.ok() ? CompareWith(sketch, recipe.bound, reference.outputs, *outputs)
                                 : std::move(outputs).status();
    }
  };
  std::thread other(work, std::ref(sides[1]));
  work(sides[0]);
  other.join();
  for (Side& side : sides) {
    if (!side.status.ok()) return std::move(side.status).Annotate("two contexts at the same time");
  }
  return std::string();
}

using Check = Verdict (*)(const Env&, const Recipe&);

}  // namespace

void AddRecipeCases(std::vector<Case>& cases) {
  const Recipes recipes = AllRecipes();
  const auto add = [&](const char* group, const Recipe& recipe, Check check) {
    cases.push_back(
        {group + recipe.name, [recipe, check](const Env& env) { return check(env, recipe); }});
  };
  for (const Recipe& r : recipes) add("op/", r, CheckValues);
  for (const Recipe& r : recipes) add("repeat/", r, CheckRepeats);
  for (const Recipe& r : FirstOfEachOp()) {
    add("host/newer/", r,
        [](const Env& e, const Recipe& recipe) { return CheckHost(e, recipe, HostAge::kNewer); });
    add("host/older/", r,
        [](const Env& e, const Recipe& recipe) { return CheckHost(e, recipe, HostAge::kOlder); });
    add("parallel/", r, CheckParallel);
    add("late/", r, CheckLate);
  }
}

}  // namespace minnow::conformance
