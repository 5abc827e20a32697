// Runs a pipeline over the documents of a source: one record per document, in the order of the
// input.
//
//   {"id": "001.txt", "result": ..., "usage": {"prompt_tokens": 301, "completion_tokens": 12}}
//   {"id": "002.txt", "error": {"code": "out_of_range", "message": "..."}}
//
// Records hold nothing that depends on time, so the same run gives the same bytes. At most `jobs`
// documents are under way and a few times as many wait for their turn to be written: memory is
// constant. Threads: the loop's.
#pragma once

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "batch/progress.h"
#include "batch/source.h"
#include "script/loop.h"
#include "script/pipeline.h"

namespace minnow::batch {

struct Summary {
  size_t documents = 0;
  size_t failed = 0;
  Status status;  // why the batch ended early: the output could not be written
};

class Batch {
 public:
  // All outlive the batch; `out` is written to, not closed.
  Batch(script::Pipeline& pipeline, Source& source, std::FILE* out, size_t jobs,
        Progress& progress);

  // Starts documents on the loop. `on_end` is called when the last record is written, or when
  // writing failed; before Start returns if there are no documents.
  void Start(std::function<void(Summary)> on_end);

 private:
  void Fill();
  void Finished(size_t number, const std::string& id, script::DocumentResult result);
  void WriteReady();

  script::Pipeline& pipeline_;
  Source& source_;
  std::FILE* out_;
  const size_t jobs_;
  Progress& progress_;
  std::function<void(Summary)> on_end_;
  Summary summary_;
  size_t started_ = 0, running_ = 0, written_ = 0;
  bool exhausted_ = false;               // the source has no more
  std::map<size_t, std::string> ready_;  // records that wait for an earlier one
};

}  // namespace minnow::batch
