// A whole model on two backends, as a host places it: what the subject claims runs there, fused
// nodes taken apart where that brings it more, and the rest on the reference.
//
// Each part is a program of its own; the state of a layer is with the one backend that does all
// work on it. Threads: one at a time.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/status.h"
#include "conformance/program.h"
#include "graph/partition.h"

namespace minnow::conformance {

class Ensemble {
 public:
  // The sketch's inputs are those of a step, its output is one. REQUIRES: all arguments outlive
  // the ensemble.
  static Result<std::unique_ptr<Ensemble>> Make(Context& subject, Context& reference,
                                                const Sketch& sketch, const Symbols& max);

  bool uses_subject() const;
  // Without edits and commits.
  Result<Outputs> Run(const Step& step);

 private:
  struct Part {
    const graph::Partition* partition;
    std::map<mnw_id, Bytes> weights;
    std::unique_ptr<Program> program;
  };
  Ensemble(const Sketch& sketch, graph::Placement placement)
      : sketch_(sketch), placement_(std::move(placement)) {}
  Status MakeState(uint32_t backend, const Context& context);
  Status MakePart(const graph::Partition& partition, Context& context, const Symbols& max);
  Status RunPart(const Part& part, const Step& step);

  const Sketch& sketch_;
  const graph::Placement placement_;
  std::unique_ptr<State> states_[2];  // by backend: subject, reference
  std::vector<Part> parts_;
  std::map<mnw_id, Bytes> made_;  // of this step, by value of the whole
};

}  // namespace minnow::conformance
