// Drafts: guesses of what comes next, which are computed in the step of the last token and kept as
// far as sampling draws the same.
//
// A source guesses from the tokens alone and at once; how good it is, is learned by kind
// (speculation.h). What has to compute, a smaller model, guesses for all requests together
// (model_draft.h). Threads: the executor's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

// Guesses that are about as good as one another: after the repetition of so many tokens, by a
// second thought, by a draft model, or of any other source.
enum class DraftKind : uint8_t { kTwo, kFour, kEight, kSixteen, kSecond, kModel, kOther };
inline constexpr size_t kDraftKinds = 7;

struct DraftNode {
  int32_t parent;  // index of an earlier node; -1: right after the tokens
  TokenId token;
  DraftKind kind;
};

class DraftSource {
 public:
  virtual ~DraftSource() = default;

  // At most `most` nodes (not 0) of what may come after `tokens`, which begin with those of the
  // call before. The best come first.
  virtual std::vector<DraftNode> Propose(std::span<const TokenId> tokens, size_t most) = 0;

  // All that it proposes is computed where there is room, whether it pays or not: for tests and
  // measurements.
  virtual bool insists() const { return false; }
};

}  // namespace minnow::engine
