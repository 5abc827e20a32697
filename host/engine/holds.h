// Prefixes that somebody has pinned: their pages have an owner, so that no eviction takes them.
//
// All of a model's holds together have at most half its cache, and a request that cannot run
// otherwise, though it runs alone, takes them away, the oldest first: no hold stops the engine.
// What is given up goes to the prefix tree, like the pages of any request that has ended. Threads:
// the executor's.
#pragma once

#include "engine/model_queue.h"

namespace minnow::engine {

// Is there room in the holds' half for so many tokens more? kExhausted with the counts.
Status MayHold(const ModelQueue& queue, size_t n_tokens);
// Takes the pages, and the use of the adapter, from a job that has computed them.
void Hold(ModelQueue& queue, Job& job);
// False if there is none, or no such one.
bool DropHold(ModelQueue& queue, RequestId id);
bool DropOldestHold(ModelQueue& queue);
void DropHolds(ModelQueue& queue);

}  // namespace minnow::engine
