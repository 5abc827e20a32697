// The files that adapters come in, before they are held against a model. For Adapter::Load alone.
// Threads: pure.
#pragma once

#include <minnow/abi/base.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "model/adapter.h"

namespace minnow::model {

// One half of a pair.
struct AdapterMatrix {
  std::string name;               // in its file
  mnw_type type = MNW_TYPE_NONE;  // MNW_TYPE_NONE: absent
  std::array<int64_t, 4> ne{};    // ne[0] is contiguous
  std::span<const std::byte> bytes;
};

struct AdapterPair {
  std::string matrix;  // of the model, by GGUF's name
  AdapterMatrix a, b;
  double scale = 1;
  int64_t n_heads = 0;  // whose rows of b stand in halves and belong in pairs; 0: as they are
};

// Both read a file and hand its pairs to FitAdapter. `path`: a GGUF file; a folder of PEFT's.
Result<Adapter> LoadGgufAdapter(const std::string& path, const AdapterTarget& target,
                                float strength);
Result<Adapter> LoadPeftAdapter(const std::string& folder, const AdapterTarget& target,
                                float strength);

// Checks pairs against the graph and widens them.
Result<Adapter> FitAdapter(std::span<const AdapterPair> pairs, const AdapterTarget& target,
                           float strength);

}  // namespace minnow::model
