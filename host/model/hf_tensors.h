// Tensors of Hugging Face's folders as GGUF has them: names, shapes and values.
//
// Published converters rename every tensor and change some: the rows of a head that a paired rope
// turns, norms that are kept less one, the logarithms of Mamba. The same is done here, and nothing
// else. Shapes are checked as far as a change needs them; the graph checks the rest. Threads: pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "formats/safetensors.h"
#include "graph/builder.h"
#include "model/source.h"

namespace minnow::model {

enum class HfForm : uint8_t {
  kSame,
  kF32,        // in F32 whatever it was stored in, as every vector is
  kQueryRows,  // rows of a head: its two halves interleaved
  kKeyRows,    // the same
  kPlusOne,    // F32, one added
  kNegExp,     // F32 [n] to [n, 1], -exp(x)
  kColumn,     // F32 [n] to [n, 1]
  kConv,       // F32 [channels, 1, width] to [channels, width]
  kGroups,     // F32 [n] to [groups, n / groups]
  kUnused,
};

// '#' stands for a layer's number.
struct HfTensorRule {
  std::string_view theirs, ours;
  HfForm form = HfForm::kSame;
  bool optional = false;
};

// What forms need to know.
struct HfSizes {
  int64_t n_heads = 1, n_kv_heads = 1, n_groups = 1;
};

// The rules for an architecture of GGUF's; empty for one that has none.
std::span<const HfTensorRule> HfTensorRules(std::string_view architecture);

// GGUF's name of a tensor, and the rule that says so; null if there is none.
struct HfMapped {
  const HfTensorRule* rule = nullptr;
  std::string name;
};
HfMapped MapHfTensor(std::span<const HfTensorRule> rules, std::string_view theirs);
// The name of a layer's tensor; the same for those of no layer.
std::string HfNameAt(std::string_view pattern, int64_t layer);

// What becomes of a tensor in this form.
Result<graph::TensorInfo> HfTensorInfo(const formats::SafetensorsTensor& tensor, std::string name,
                                       HfForm form, const HfSizes& sizes);
// Its bytes, where they lie if nothing changes. REQUIRES: HfTensorInfo was content.
Result<TensorBytes> HfTensorBytes(const formats::SafetensorsTensor& tensor, HfForm form,
                                  const HfSizes& sizes);

// The rows of each head's two halves, interleaved: what a rope of pairs needs of one of halves.
// REQUIRES: rows % (2 * heads) == 0; no overlap.
void PairRows(const std::byte* from, int64_t rows, int64_t row_bytes, int64_t heads, std::byte* to);

}  // namespace minnow::model
