// A pipeline whose Lua runs in a process of its own, which is ended when it computes for too long,
// breaks the protocol or dies, and begun anew. The document that ran then fails; those that waited
// run again, once. Threads: as Pipeline's.
#pragma once

#include <memory>
#include <string>

#include "script/pipeline.h"

namespace minnow::script {

// As Pipeline::Load. REQUIRES: options.untrusted.
Result<std::unique_ptr<Pipeline>> LoadRemotePipeline(const std::string& path, Models& models,
                                                     Loop& loop, const PipelineOptions& options,
                                                     Program::Files* files);

}  // namespace minnow::script
