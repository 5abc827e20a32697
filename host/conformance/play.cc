#include "conformance/play.h"

namespace minnow::conformance {

Result<std::unique_ptr<Written>> Write(const Recipe& recipe, uint64_t seed) {
  auto written = std::make_unique<Written>(Written{Sketch(seed, recipe.symbols), {}});
  recipe.write(written->sketch);
  if (Status s = written->sketch.Finish(); !s.ok()) {
    return std::move(s).Annotate("the case itself is wrong");
  }
  written->tellings = Tell(recipe, written->sketch, seed);
  return written;
}

Result<std::string> Refusal(const Context& context, const Sketch& sketch) {
  const HostGraph graph(sketch.graph(), context.subject().age);
  return context.Claim(graph, static_cast<uint32_t>(sketch.graph().nodes().size()));
}

Result<std::vector<Outputs>> Play(Context& context, const Sketch& sketch, const Telling& telling,
                                  bool linger) {
  Symbols max = Largest(telling);
  if (telling.wide) {
    for (int64_t& n : max) n = n ? n * 4 + 13 : 0;
  }
  MNW_ASSIGN(const auto program, Program::Make(context, sketch, max));
  std::vector<Outputs> outputs;
  for (const Step& step : telling.steps) {
    MNW_ASSIGN(Outputs out, linger ? program->RunAndLinger(step) : program->Run(step));
    outputs.push_back(std::move(out));
  }
  return outputs;
}

Status CompareWith(const Sketch& sketch, const Bound& bound, const std::vector<Outputs>& want,
                   const std::vector<Outputs>& got) {
  const graph::Graph& g = sketch.graph();
  for (size_t step = 0; step < want.size(); ++step) {
    for (size_t i = 0; i < want[step].size(); ++i) {
      Status s = Compare(g.value(g.outputs()[i]), want[step][i], got[step][i], bound);
      if (s.ok()) continue;
      std::string where;
      if (want.size() > 1) where += fmt::format("step {}, ", step);
      if (want[step].size() > 1) where += fmt::format("output {}, ", i);
      return Status(s.code(), where + s.message());
    }
  }
  return Status();
}

Result<Reference> PlayReference(const Env& env, const Sketch& sketch, const Telling& telling) {
  Reference reference;
  const auto play = [&]() -> Status {
    MNW_ASSIGN(const auto context, Context::Open(env.oracle));
    MNW_ASSIGN(reference.refusal, Refusal(*context, sketch));
    if (!reference.refusal.empty()) return Status();
    MNW_ASSIGN(reference.outputs, Play(*context, sketch, telling));
    return Status();
  };
  if (Status s = play(); !s.ok()) return std::move(s).Annotate("the reference");
  return reference;
}

}  // namespace minnow::conformance
