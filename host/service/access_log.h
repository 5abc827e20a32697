// The access log: one JSON line for each RPC, never with text of requests or answers.
//
// Lines are written by a thread of the log's own; when a disk or a terminal is slower than the
// calls, the oldest lines that wait are dropped and counted in the next. Threads: any.
#pragma once

#include <memory>
#include <string>

#include "service/server.h"

namespace minnow::service {

class AccessLog {
 public:
  // "-" is stderr. kInvalid if the file cannot be written.
  static Result<std::unique_ptr<AccessLog>> Open(const std::string& path);
  ~AccessLog();  // writes what waits

  void Write(const CallEnd& end);

 private:
  AccessLog();
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

}  // namespace minnow::service
