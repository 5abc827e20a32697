// Contexts on disk: a document, the tokens that questions about it begin with, and their state.
//
// A file is "MNWCTX1\n", the length of the whole (u64, little-endian), that of a header (u64), the
// header (JSON), the state by columns (prefix_state.h; F16 where the cache is, else F32), and the
// SHA-256 of all before. The header has the identity of what computed it (fingerprint.h): a context
// of another model, adapter, build or kind of device is refused, since answers would not be the
// same. So is a file that was cut or changed. Whoever can write the file can have the model read
// what they like: it holds what a prompt does. Threads: any but the executor's; they block.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"

namespace minnow::engine {

// The tokens that all questions about a document (DocumentTurn) begin with.
Result<std::vector<TokenId>> DocumentPrefix(const model::Model& model, std::string_view document);

// The file of a context that a stranger calls so. kInvalid: no plain name.
Result<std::string> ContextPath(const std::string& folder, std::string_view name);

// REQUIRES: a hold of this engine, of the document's prefix; an engine that is identified
// (Runtime::Identify). The file is this user's alone. kNotFound: the hold was given up.
Status SaveContext(Engine& engine, RequestId hold, std::string_view document,
                   const std::string& path);

struct RestoredContext {
  std::string document;
  uint32_t n_tokens;
  RequestId hold;
};
// kNotFound, kCorrupt, kPrecondition (of another model, adapter, build or device), kExhausted.
Result<RestoredContext> RestoreContext(Engine& engine, AdapterId adapter, const std::string& path);

}  // namespace minnow::engine
