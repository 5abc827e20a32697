// Documents that do not fit into the context: what of them is left out is said before and told
// after, never decided in silence.
//
// A document is cut where it may be: between characters, and beside white space where that is near.
// Threads: pure, but for the encoder.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/request.h"

namespace minnow::engine {

// What is kept of a document that is too long: nothing, for the request is refused with the counts;
// its beginning; its end; both, with "[...]" between them; or all, in parts that fit, each of which
// is asked about by itself.
enum class OnOverflow { kError, kHead, kTail, kMiddle, kChunk };
inline constexpr const char* kOnOverflowNames[] = {"error", "head", "tail", "middle", "chunk"};
Result<OnOverflow> ReadOnOverflow(std::string_view name);

struct ByteSpan {
  size_t begin, end;
  bool operator==(const ByteSpan&) const = default;
};

// The prompt for a document, or for what is left of it.
using EncodeDocument = std::function<Result<std::vector<TokenId>>(std::string_view document)>;

struct Fitted {
  std::vector<TokenId> prompt;
  std::vector<ByteSpan> kept;  // of the document; empty: all of it
};

// `room`: tokens of the prompt, at most. With kError nothing is cut: the engine refuses.
// kOutOfRange if not even an empty document fits. REQUIRES: not kChunk.
Result<Fitted> FitDocument(std::string_view document, OnOverflow how, size_t room,
                           const EncodeDocument& encode);

// What was kept, as its prompt has it.
std::string KeptText(std::string_view document, std::span<const ByteSpan> kept);

// The document in parts that fit, one after another and all of it; one, if it fits.
Result<std::vector<ByteSpan>> ChunkDocument(std::string_view document, size_t room,
                                            const EncodeDocument& encode);

// The embedding of a text from those of its parts: their mean, weighted by their lengths, of length
// 1 as each of them. REQUIRES: at least one, all of one width.
std::vector<float> MeanOfParts(std::span<const std::vector<float>> parts,
                               std::span<const ByteSpan> spans);

}  // namespace minnow::engine
