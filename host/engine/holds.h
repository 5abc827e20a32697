// Prefixes that somebody has pinned: their pages have an owner, so that no eviction takes them.
//
// All of a model's holds together have at most half its cache, and a request that cannot run
// otherwise, though it runs alone, takes them away, the oldest first: no hold stops the engine.
// A hold through an adapter keeps that in its slot, until it is unloaded: then the hold goes. What
// is given up goes to the prefix tree, like the pages of any request that has ended. Threads: the
// executor's.
#pragma once

#include "engine/model_queue.h"

namespace minnow::engine {

// Is there room in the holds' half for so many tokens more? kExhausted with the counts.
Status MayHold(const ModelQueue& queue, size_t n_tokens);
// Takes over the pages and the use of the adapter.
void Hold(ModelQueue& queue, RequestId id, HeldPrefix prefix);
// False if there is none, or no such one.
bool DropHold(ModelQueue& queue, RequestId id);
bool DropOldestHold(ModelQueue& queue);
// Those through adapters that were unloaded. Under the executor's mutex.
std::vector<RequestId> LostHolds(const ModelQueue& queue);
void DropHolds(ModelQueue& queue);

}  // namespace minnow::engine
