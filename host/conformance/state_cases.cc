// Pages in their canonical form: as the reference has them, and back with all their bits.
#include "conformance/play.h"

namespace minnow::conformance {

namespace {

Result<std::vector<float>> PlayAndExport(const Subject& subject, const Written& written,
                                         uint32_t page) {
  MNW_ASSIGN(const auto context, Context::Open(subject));
  const Telling& telling = written.tellings[0];
  MNW_ASSIGN(const auto program, Program::Make(*context, written.sketch, Largest(telling)));
  for (const Step& step : telling.steps) MNW_TRY(program->Run(step).status());
  return program->state().Export(0, page);
}

// Half a step of Q8 is 1/254 of the largest of 32 values; normal numbers reach 4.
Bound BoundOf(int32_t type) {
  return type == MNW_TYPE_F32 ? Bits() : type == MNW_TYPE_F16 ? Close(1e-6, 1e-3) : Close(0.04, 0);
}

Verdict CheckPages(const Env& env, const Recipe& recipe) {
  MNW_ASSIGN(const auto written, Write(recipe, env.seed));
  const Sketch& sketch = written->sketch;
  {
    MNW_ASSIGN(const auto context, Context::Open(env.subject));
    MNW_ASSIGN(const std::string refusal, Refusal(*context, sketch));
    if (!refusal.empty()) return "not claimed: " + refusal;
  }
  const mnw_backend& table = *env.subject.table;
  if (!MNW_HAS(&table, mnw_backend, state_import) || !table.state_export || !table.state_import) {
    return std::string("no export and import of state");
  }
  for (const uint32_t page : {0u, 1u}) {
    MNW_ASSIGN(const auto want, PlayAndExport(env.oracle, *written, page));
    MNW_ASSIGN(const auto got, PlayAndExport(env.subject, *written, page));
    mnw_value row{};
    row.type = MNW_TYPE_F32;
    row.dim[0] = static_cast<int64_t>(want.size() / kPageTokens);
    const Bound bound = BoundOf(sketch.state_layers()[0].type);
    if (Status s =
            Compare(row, std::as_bytes(std::span(want)), std::as_bytes(std::span(got)), bound);
        !s.ok()) {
      return std::move(s).Annotate(fmt::format("page {} in its canonical form", page));
    }
    MNW_ASSIGN(const auto context, Context::Open(env.subject));
    MNW_ASSIGN(const auto program, Program::Make(*context, sketch, {1, 1, 0}));
    MNW_TRY(program->state().Import(0, 7, got));
    MNW_ASSIGN(const auto again, program->state().Export(0, 7));
    if (Status s = CompareBits(row, std::as_bytes(std::span(got)), std::as_bytes(std::span(again)));
        !s.ok()) {
      return std::move(s).Annotate("a page exported, imported and exported again");
    }
  }
  return std::string();
}

}  // namespace

void AddStateCases(std::vector<Case>& cases) {
  for (const Recipe& r : AllRecipes()) {
    if (r.op() != "attention") continue;
    cases.push_back({"pages/" + r.name, [r](const Env& env) { return CheckPages(env, r); }});
  }
}

}  // namespace minnow::conformance
