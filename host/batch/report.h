// A page about a batch, for people: how many documents, how fast, what failed and why.
//
// Made from the output itself, so that it tells of the whole run, whoever did which part of it and
// when. Threads: one at a time.
#pragma once

#include <string>

#include "base/status.h"
#include "batch/queue.h"
#include "script/step_usage.h"

namespace minnow::batch {

struct ReportInput {
  std::string output;  // a file of records, perhaps .zst
  std::string name;    // of the pipeline
  Identity identity;
  double seconds = 0;                  // of this process
  uint64_t documents = 0, tokens = 0;  // in them
  script::StepUsages steps;            // likewise
};

// HTML, one file without links to others.
Status WriteReport(const ReportInput& input, const std::string& path);

}  // namespace minnow::batch
