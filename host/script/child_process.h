// The process of an untrusted script, seen from the host: started, watched, ended. It inherits a
// socket, a page of shared memory, and nothing else: no files, no environment, no memory. Threads:
// one at a time; the process dies when the thread that started it does.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "script/state.h"

namespace minnow::script {

// Of a process that runs what people wrote whom nobody trusts.
struct ChildLimits {
  std::string program = ChildProgram();
  size_t memory_bytes = size_t{4} << 30;  // of the process; a document has its own budget
  // How long it may overrun a document's budget of time before it is ended.
  double grace_seconds = 2;
  size_t max_requests = 1 << 16;  // of models, under way at once

  static std::string ChildProgram();  // minnow-script beside this program, or where it is installed
};

// The descriptors that the process finds.
inline constexpr int kChildSocket = 0, kChildPage = 1;
// What it exits with when it has no memory, or cannot confine itself.
inline constexpr int kChildExitMemory = 77, kChildExitUnconfined = 78;

class ChildProcess {
 public:
  static Result<std::unique_ptr<ChildProcess>> Start(const ChildLimits& limits);
  ~ChildProcess();  // ends it
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int socket() const { return socket_; }  // does not block
  pid_t pid() const { return pid_; }
  const Watch& watch() const { return *watch_; }  // what the process says: maybe lies
  double cpu_seconds() const;

  // Kills it, if it is still there. How it ended, if by itself: "tried a forbidden system call".
  std::string End();

 private:
  ChildProcess() = default;

  int socket_ = -1;
  pid_t pid_ = -1;
  Watch* watch_ = nullptr;
  size_t memory_bytes_ = 0;
};

}  // namespace minnow::script
