// Runs a pipeline over the documents of a queue: one record per document, in the order of the
// input.
//
//   {"id": "001.txt", "result": ..., "usage": {...}, "fingerprint": "9f86d081884c7d65"}
//   {"id": "002.txt", "error": {"code": "out_of_range", "message": "..."}, "usage": {...}, ...}
//
// Records hold nothing that depends on time unless `timings` asks for it, so the same run gives the
// same bytes. At most `jobs` documents are under way. A document during which a process died before
// runs alone, so that it can take no other one along, and after max_strikes not at all. Threads:
// the loop's.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "batch/output.h"
#include "batch/progress.h"
#include "batch/queue.h"
#include "script/loop.h"
#include "script/pipeline.h"

namespace minnow::batch {

struct BatchOptions {
  size_t jobs = 32;
  uint64_t max_errors = UINT64_MAX;  // failed documents; one more ends the batch
  uint32_t retries = 2;        // of a document that failed for want of something (unavailable)
  double retry_seconds = 0.5;  // before the first retry; twice as long before the next
  uint32_t max_strikes = 3;    // 0: any number
  bool timings = false;        // "seconds" in each record
  std::string fingerprint;     // of script, models, options and build
};

struct Summary {
  uint64_t documents = 0, failed = 0;  // those of earlier processes too
  Status status;                       // why the batch ended early
};

class Batch {
 public:
  // All outlive the batch.
  Batch(script::Pipeline& pipeline, Queue& queue, Output& output, script::Loop& loop,
        const BatchOptions& options, Progress& progress);
  ~Batch();

  // Starts documents on the loop. `on_end` is called when the last record is written or the batch
  // cannot go on; before Start returns if there are no documents.
  void Start(std::function<void(Summary)> on_end);

  // Puts what is complete on disk; for an interrupted batch too, whose open documents are given
  // back.
  Status Settle();

 private:
  struct Work {
    Task task;
    uint32_t tries = 0;
  };
  using WorkPtr = std::shared_ptr<Work>;

  void Tick();
  void Fill();
  bool WindowIsFull() const;
  Result<bool> ClaimSome();  // false: there was nothing
  void Begin(Task task);
  void Run(WorkPtr work);
  void Finished(const WorkPtr& work, script::DocumentResult result);
  bool RunAgain(const WorkPtr& work, const script::DocumentResult& result);
  void Complete(const Task& task, const script::DocumentResult& result);
  Status NoteParts();
  Status WriteReady();
  void Fail(Status status);

  script::Pipeline& pipeline_;
  Queue& queue_;
  Output& output_;
  script::Loop& loop_;
  const script::Loop::Address address_;
  const BatchOptions options_;
  Progress& progress_;
  std::function<void(Summary)> on_end_;
  Summary summary_;
  std::map<uint64_t, WorkPtr> running_;  // by number
  std::deque<Task> suspects_;            // wait until nothing runs
  int64_t ahead_ = 0;                    // records that are completed and not taken
  size_t n_parts_ = 0;
  bool filling_ = false;
};

}  // namespace minnow::batch
