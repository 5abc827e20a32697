// The file that records go to: appended in order, cut back to what was settled when a run goes on.
//
// PATH.zst is compressed in frames of kFrameRecords records, so that its bytes too do not depend on
// when the process was stopped; it can be cut only between frames, and records of an unfinished one
// stay in the queue. "-" is stdout, which keeps nothing. Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "batch/queue.h"

namespace minnow::batch {

class Output {
 public:
  static constexpr uint64_t kFrameRecords = 1024;

  // `from`: what is settled; the rest of the file is cut off. With nothing settled the file is
  // created and must not be there, unless `replace`. kPrecondition: it is shorter than what was
  // settled, so it is not the file that this run wrote.
  static Result<std::unique_ptr<Output>> Open(const std::string& path, const Position& from,
                                              bool replace);
  virtual ~Output() = default;

  // kExhausted: it could not be written. What is already there stays.
  virtual Status Write(std::string_view record) = 0;
  // Hands to the system what was written; readers see it.
  virtual Status Flush() = 0;
  // No more records come: ends the last frame.
  virtual Status Finish() = 0;
  // Brings everything to disk that can be settled.
  virtual Result<Position> Sync() = 0;
};

}  // namespace minnow::batch
