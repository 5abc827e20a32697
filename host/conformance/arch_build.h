// An architecture driven through its C entry as a host drives it: in guarded structs that are taken
// away after the call, with every tensor that it asks for written down. Threads: one at a time.
#pragma once

#include <minnow/abi/arch.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "conformance/arch_file.h"
#include "conformance/host_age.h"
#include "conformance/subject.h"
#include "graph/builder.h"

namespace minnow::conformance {

struct WantedTensor {
  std::string name;
  std::vector<int64_t> dims;  // 0: any extent
};

struct BuildOptions {
  uint32_t n_ctx = 64;
  bool adapters = false;
  HostAge age = HostAge::kSame;
};

// What became of one call of build().
struct BuildEnd {
  std::optional<graph::Graph> graph;                  // verified
  Status refusal;                                     // where there is none
  std::map<std::string, std::vector<int64_t>> asked;  // dims, by tensor of the file
  std::optional<WantedTensor> missing;                // the first that the file has not
};

// Fails where the plugin breaks the contract: an exception, a write outside, no message.
Result<BuildEnd> Build(const mnw_arch& arch, ArchFile& file, const BuildOptions& options,
                       Trace& trace);

// A made-up file with all the tensors that the architecture wants; fails if none does.
Result<ArchFile> MakeUpFile(const mnw_arch& arch, bool optional, Trace& trace);

}  // namespace minnow::conformance
