// A tiny real graph that drives an engine without a model file: tokens -> rows -> attention per
// layer -> logits. Its numbers mean nothing; under the fake backend only its inputs, state and
// outputs matter. Threads: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/builder.h"

namespace minnow::test {

struct FakeModelOptions {
  int64_t n_vocab = 64;
  uint32_t n_ctx = 256;
  uint32_t page_tokens = 32;
  std::vector<uint32_t> windows = {0};  // one layer per entry, layers of equal window share a group
  bool is_encoder = false;              // no state, one vector per sequence
  bool adapters = false;
  bool recurrent = false;  // one more layer, which keeps a block of state per sequence
};

Result<graph::BuiltGraph> MakeFakeModel(const FakeModelOptions& options = {});

// What the file would hold.
std::vector<graph::TensorInfo> FakeModelTensors(const FakeModelOptions& options = {});

}  // namespace minnow::test
