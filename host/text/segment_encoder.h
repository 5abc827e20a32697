// Encodes ordinary text: what is left between control and user-defined tokens.
//
// One implementation per kind of vocabulary. None ever yields a control token.
// Threads: immutable; Encode may run on many threads at once. The vocabulary must outlive it.
#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "text/bpe.h"
#include "text/vocabulary.h"

namespace minnow::text {

class SegmentEncoder {
 public:
  virtual ~SegmentEncoder() = default;
  // Appends the ids of `text`; `prefix`: as if a space stood before it (SentencePiece).
  virtual Status Encode(std::string_view text, bool prefix, std::vector<TokenId>& ids) const = 0;
};

Result<std::unique_ptr<SegmentEncoder>> MakeByteLevelEncoder(const Vocabulary& vocabulary);
Result<std::unique_ptr<SegmentEncoder>> MakeSentencePieceEncoder(const Vocabulary& vocabulary);
Result<std::unique_ptr<SegmentEncoder>> MakeWordPieceEncoder(const Vocabulary& vocabulary);

// The pieces that ordinary text can become, by their bytes (views into the vocabulary), and how
// they merge. Where the vocabulary has no list of merges, units that are in no piece of their own
// get ids past the vocabulary, so that what they are part of can still be reached.
struct OrdinaryPieces {
  std::unordered_map<std::string_view, TokenId> ids;
  MergeTable merges;
};
Result<OrdinaryPieces> IndexOrdinaryPieces(const Vocabulary& vocabulary);

}  // namespace minnow::text
