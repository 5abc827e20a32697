#include "conformance/buffers.h"

#include <algorithm>
#include <minnow/sdk/graph_view.hpp>

namespace minnow::conformance {

namespace {

constexpr uintptr_t kBufferAlign = 64;

}  // namespace

Result<std::unique_ptr<Buffers>> Buffers::Make(const Context& context, const graph::Graph& graph,
                                               const Step& step) {
  std::unique_ptr<Buffers> b(new Buffers(context, graph, step));
  for (const mnw_id id : graph.inputs()) {
    const auto it = step.inputs.find(id);
    b->memory_.emplace(id, Guarded(it == step.inputs.end() ? Bytes() : it->second));
  }
  for (const mnw_id id : graph.outputs()) {
    const auto n = static_cast<size_t>(sdk::Bytes(graph.value(id), step.symbols));
    b->memory_.emplace(id, Guarded(n));
  }
  for (const auto& [id, memory] : b->memory_) {
    if (b->subject().own_memory) MNW_TRY(b->Upload(id, memory));
    b->bindings_.push_back(
        {id, 0, b->subject().own_memory ? b->buffers_.at(id).address : memory.data()});
  }
  return b;
}

Buffers::~Buffers() {
  for (const auto& [id, buffer] : buffers_) {
    if (!buffer.handle) continue;
    subject().Do("buffer_free", [&] { subject().table->buffer_free(buffer.handle); });
  }
}

// A buffer for it, filled with what lies in the host's memory: outputs with the pattern.
Status Buffers::Upload(mnw_id id, const Guarded& from) {
  const mnw_backend& table = *subject().table;
  const uint64_t n = from.bytes().size();
  Buffer& buffer = buffers_[id];
  MNW_TRY(subject().Call("buffer_create", [&](mnw_error* e) {
    return table.buffer_create(context_.get(), std::max<uint64_t>(n, 1), &buffer.handle,
                               &buffer.address, e);
  }));
  if (!buffer.handle) return Error(Code::kInternal, "buffer_create() succeeded and gave no buffer");
  if (!buffer.address || reinterpret_cast<uintptr_t>(buffer.address) % kBufferAlign != 0) {
    return Error(Code::kInternal, "buffer_create() gave the address {}, no multiple of {}",
                 buffer.address, kBufferAlign);
  }
  if (n == 0) return Status();
  return subject().Call("buffer_write", [&](mnw_error* e) {
    return table.buffer_write(buffer.handle, 0, from.data(), n, e);
  });
}

std::vector<const Guarded*> Buffers::visible() const {
  std::vector<const Guarded*> outputs;
  if (subject().own_memory) return outputs;
  for (const mnw_id id : graph_.outputs()) outputs.push_back(&memory_.at(id));
  return outputs;
}

Result<Bytes> Buffers::BytesOf(mnw_id id) const {
  const auto here = memory_.at(id).bytes();
  if (!subject().own_memory || here.empty()) return Bytes(here.begin(), here.end());
  const Guarded to(here.size());
  MNW_TRY(subject().Call("buffer_read", [&](mnw_error* e) {
    return subject().table->buffer_read(buffers_.at(id).handle, 0, to.data(), here.size(), e);
  }));
  if (const std::string at = to.Breach(); !at.empty()) {
    return Error(Code::kInternal, "buffer_read() wrote more than it was asked for, {}", at);
  }
  return Bytes(to.bytes().begin(), to.bytes().end());
}

Result<Outputs> Buffers::Read() const {
  Outputs outputs;
  for (const mnw_id id : graph_.outputs()) {
    MNW_ASSIGN(Bytes bytes, BytesOf(id));
    outputs.push_back(std::move(bytes));
  }
  return outputs;
}

Status Buffers::Check() const {
  for (const auto& [id, memory] : memory_) {
    if (const std::string at = memory.Breach(); !at.empty()) {
      const bool output = graph_.value(id).kind == MNW_KIND_OUTPUT;
      return Error(Code::kInternal, "run() wrote outside of {} %{}, {}",
                   output ? "output" : "input", id, at);
    }
  }
  for (const auto& [id, bytes] : step_.inputs) {
    MNW_ASSIGN(const Bytes now, BytesOf(id));
    if (now != bytes) return Error(Code::kInternal, "run() changed input %{}", id);
  }
  return Status();
}

}  // namespace minnow::conformance
