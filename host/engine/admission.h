// Which requests run, and which wait: by priority, by age, and by the pages that are left.
// Threads: the executor's.
#pragma once

#include "engine/model_queue.h"

namespace minnow::engine {

// Lets waiting jobs run: interactive ones first, in order of arrival. An interactive job takes its
// room from batch jobs.
void Admit(ModelQueue& queue);

// Sees to it that every running job can get a page for its next token, by taking out the last ones.
// One alone always can: what could never fit was refused.
void MakeRoom(ModelQueue& queue);

// Takes out the last job: batch before interactive, younger before older. It waits with what it has
// made, and its tokens are computed again; its pages stay in the prefix tree while there is room.
void PreemptLast(ModelQueue& queue);

}  // namespace minnow::engine
