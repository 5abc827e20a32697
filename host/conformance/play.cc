#include "conformance/play.h"

#include <algorithm>

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
  const HostGraph graph(*sketch.graph().view(), context.subject().age);
  MNW_ASSIGN(const std::vector<mnw_claim> claims, context.Claim(graph));
  for (const mnw_claim& c : claims) {
    if (c.group == 0) return std::string(c.reason);
  }
  return std::string();
}

Symbols LargestFor(const Telling& telling) {
  Symbols max = Largest(telling);
  if (telling.wide) {
    for (int64_t& n : max) n = n ? n * 4 + 13 : 0;
  }
  return max;
}

Result<std::vector<Outputs>> Play(Context& context, const Sketch& sketch, const Telling& telling,
                                  bool linger) {
  MNW_ASSIGN(const auto program, Program::Make(context, sketch, LargestFor(telling)));
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

Status Gather(const Env& env, const Sketch& sketch, const Telling& telling,
              const std::vector<Outputs>& outputs, Rows* rows) {
  const graph::Graph& g = sketch.graph();
  for (size_t step = 0; step < outputs.size(); ++step) {
    for (size_t i = 0; i < outputs[step].size(); ++i) {
      const mnw_value& v = g.value(g.outputs()[i]);
      const auto dim = std::find_if(v.dim, v.dim + 4, [](int64_t d) { return d < 0; });
      if (dim == v.dim + 4) continue;
      const std::vector<int32_t>& keys =
          telling.keys[step][static_cast<size_t>(MNW_DIM_SYMBOL(*dim))];
      const Bytes& bytes = outputs[step][i];
      for (size_t r = 0; r < keys.size(); ++r) {
        if (keys[r] < 0) continue;
        const size_t size = bytes.size() / keys.size();
        const auto first = bytes.begin() + static_cast<ptrdiff_t>(r * size);
        Bytes row(first, first + static_cast<ptrdiff_t>(size));
        const auto [known, fresh] = rows->try_emplace({i, keys[r]}, row);
        if (fresh) continue;
        if (Status s = CompareBits(v, known->second, row); !s.ok()) {
          return Error(Code::kInternal,
                       "level {} is declared, but bits differ: {}: output {}, row {} of {}: {}",
                       env.subject.level, telling.name, i, r, keys.size(), s.message());
        }
      }
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
