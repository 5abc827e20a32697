// The state of a held prefix out of the cache and back, in the canonical form of the ABI.
//
// It goes by columns, the pages of 32 positions in all layers, each read or written between two
// steps, so that others wait for no more than that. A column is, layer by layer as the instance
// lists them, the keys of its positions and then their values; layers whose window has left the
// column behind have none. The bits come back as they were. Threads: any but the executor's; they
// block.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "engine/executor.h"

namespace minnow::engine {

// How many floats the columns of so many tokens have, one after another.
std::vector<size_t> ColumnSizes(const model::Instance& instance, size_t n_tokens);

struct Held {
  std::vector<TokenId> tokens;
  AdapterId adapter;
};
Status HoldGivenUp();  // kNotFound
// kNotFound: it was given up.
Result<Held> FindHeld(Executor& executor, ModelQueue& queue, RequestId hold);
Status ExportColumn(Executor& executor, ModelQueue& queue, RequestId hold, size_t column,
                    std::span<float> out);

// Makes a hold of what `read` gives for each column, in order. kExhausted: no room.
using ReadColumn = std::function<Status(size_t column, std::span<float> out)>;
Result<RequestId> ImportPrefix(Executor& executor, ModelQueue& queue, std::vector<TokenId> tokens,
                               AdapterId adapter, const ReadColumn& read);

}  // namespace minnow::engine
