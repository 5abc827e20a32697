// A CPU context: the kernels of the chosen ISA level, the thread team and the scratch memory of the
// steps. Threads: as the contract's [ctx] tag: one call at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/linear.h"
#include "kernels/vector.h"
#include "minnow/abi/plugin.h"
#include "team.h"

namespace minnow::cpu {

// 64-byte aligned memory that asks for huge pages when large: packed weights are streamed, and a
// TLB miss every 4 KiB would be felt.
class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  // Contents are lost. False if there is no memory. Fresh memory is zero.
  [[nodiscard]] bool Allocate(size_t n_bytes);
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

struct Isa {
  const char* name;  // as `isa=` names it
  bool (*available)();
  const LinearKernels& (*linear)();
  const VectorKernels& (*vector)();
};

// All levels of this architecture, the best last.
const Isa* Levels(size_t* n);
// The best available one.
const Isa& BestLevel();

// Where a thread decodes a panel of a weight whose type has no kernel: its rows as f32, and packed
// for the f32 kernel.
struct DecodedPanel {
  Buffer rows, panel;
};

}  // namespace minnow::cpu

struct mnw_context {
  mnw_context(const mnw_host* h, const minnow::cpu::Isa& level, int n_threads)
      : host(h), isa(level), linear(level.linear()), vector(level.vector()), team(n_threads) {}

  // Makes room in `decoded` for rows of k elements. False if there is no memory.
  [[nodiscard]] bool ReserveDecoded(int64_t k);

  const mnw_host* host;
  const minnow::cpu::Isa& isa;
  const minnow::cpu::LinearKernels& linear;
  const minnow::cpu::VectorKernels& vector;
  minnow::cpu::Team team;
  minnow::cpu::Buffer scratch;  // shared by all plans of the context, grown by plan()
  std::vector<minnow::cpu::DecodedPanel> decoded;  // by thread of the team; empty if not needed
};

namespace minnow::cpu {

// Fills the caller's error and returns its code.
int Fail(mnw_error* e, int code, const std::string& message, int32_t node = -1, uint64_t bytes = 0);

}  // namespace minnow::cpu
