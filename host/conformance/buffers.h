// All that is bound for one step: guarded memory of the host, and on a device with memory of its
// own buffers there beside it. Threads: one at a time.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "conformance/program.h"

namespace minnow::conformance {

class Buffers {
 public:
  // Inputs are where the device reads them. REQUIRES: all arguments outlive the buffers.
  static Result<std::unique_ptr<Buffers>> Make(const Context& context, const graph::Graph& graph,
                                               const Step& step);
  ~Buffers();
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;

  std::span<const mnw_binding> bindings() const { return bindings_; }
  // The outputs that can be looked at any time: none on a device with memory of its own.
  std::vector<const Guarded*> visible() const;
  // The outputs as they are now, between runs.
  Result<Outputs> Read() const;
  // Nothing but the outputs was written.
  Status Check() const;

 private:
  struct Buffer {
    mnw_buffer* handle = nullptr;
    void* address = nullptr;
  };
  Buffers(const Context& context, const graph::Graph& graph, const Step& step)
      : context_(context), graph_(graph), step_(step) {}
  Status Upload(mnw_id id, const Guarded& from);
  Result<Bytes> BytesOf(mnw_id id) const;
  const Subject& subject() const { return context_.subject(); }

  const Context& context_;
  const graph::Graph& graph_;
  const Step& step_;
  std::map<mnw_id, Guarded> memory_;
  std::map<mnw_id, Buffer> buffers_;
  std::vector<mnw_binding> bindings_;
};

}  // namespace minnow::conformance
