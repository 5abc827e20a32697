// The memory of a batch: which documents are to be run, and what came of them.
//
// Documents are numbered in the order of the input. One is *claimed*, runs, and is *completed* with
// its record; records are *taken* in order for the output, and *settled* once the output that holds
// them is on disk. All of it survives the process: a queue that is opened again for the same run
// hands out what was not completed, and never twice what was. A run is the same if its identity is;
// with another one the queue is refused, so that no output mixes two.
//
// queue_sqlite.cc: one process, its source read anew each time. queue_postgres.cc: any number of
// workers, the documents in the database. Threads: one at a time. Calls may take as long as a disk
// or a database does.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "batch/source.h"

namespace minnow::batch {

struct Task {
  uint64_t number = 0;
  uint64_t token = 0;    // of this claim; void once another worker has claimed the document
  uint32_t strikes = 0;  // processes that died while it was under way
  SourceItem item;
};

// Where the output stands: so many records, in so many bytes.
struct Position {
  uint64_t records = 0;
  uint64_t bytes = 0;
};

// What makes two runs the same, by name: the pipeline, its models, options, the input.
using Identity = std::vector<std::pair<std::string, std::string>>;

// Of documents that were completed before this process began.
struct Resumed {
  uint64_t documents = 0;
  uint64_t failed = 0;
};

class Queue {
 public:
  virtual ~Queue() = default;

  // At most n documents that nobody runs. None: see waiting().
  virtual Result<std::vector<Task>> Claim(size_t n) = 0;
  // Once Claim gave none: may there be some later, when others fail or the input has been read?
  virtual bool waiting() const = 0;
  // Gives a claim back: another worker, or the next process, may have it at once.
  virtual Status Release(const Task& /*task*/) { return Status(); }
  // false: the claim was void, and the record is dropped.
  virtual Result<bool> Complete(const Task& task, bool failed, const std::string& record) = 0;
  // What the run depends on beside its identity, and what shows only on the way: a module that a
  // document requires, a model it opens. kPrecondition: it was another before.
  virtual Status Note(const std::string& name, const std::string& value) = 0;
  // Keeps this worker's claims; to be called every second.
  virtual Status KeepAlive() { return Status(); }

  // The next record in order, if its document is completed.
  virtual Result<std::optional<std::string>> Take() = 0;
  // The output is on disk up to here. Records before it are forgotten.
  virtual Status Settle(const Position& position) = 0;
  virtual Position settled() const = 0;
  // Do records that wait for an earlier one take memory of this process?
  virtual bool in_memory() const { return false; }

  virtual Resumed resumed() const = 0;
  virtual std::optional<uint64_t> count() const = 0;  // of all documents, if it is known
};

// The journal of a run in one file (or ":memory:"), held by one process. `source` outlives the
// queue. kPrecondition: another run's journal (the message says what differs), or input that is
// not what it was.
Result<std::unique_ptr<Queue>> OpenSqliteQueue(const std::string& path, const Identity& identity,
                                               Source& source);

struct PostgresOptions {
  std::string url;
  std::string run;            // its name in the database
  double lease_seconds = 60;  // a worker that says nothing for so long has lost its documents
  bool writes = true;         // takes the records; one process of a run does
  bool anew = false;          // forgets what there was of the run
};
// `source` null: the documents come from another process. It outlives the queue.
Result<std::unique_ptr<Queue>> OpenPostgresQueue(const PostgresOptions& options,
                                                 const Identity& identity, Source* source);

// After a process died: every document that was under way gets a strike. How many there were.
Result<uint64_t> StrikeUnfinished(const std::string& path);

// "" if they are the same, else what differs.
std::string Difference(const Identity& before, const Identity& now);
Status OtherRun(const std::string& difference);

std::string IdentityText(const Identity& identity);  // JSON
Result<Identity> ParseIdentity(const std::string& text);
uint64_t Digest(const SourceItem& item);  // of all that a document is
uint64_t Digest(std::string_view bytes);  // the first eight bytes of SHA-256

}  // namespace minnow::batch
