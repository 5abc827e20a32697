#include "batch/supervisor.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "base/log.h"
#include "base/mapping_fault.h"
#include "batch/queue.h"

namespace minnow::batch {

namespace {

// An exit code of the child's own doing cannot repeat for ever.
constexpr uint32_t kMaxOrderlyRestarts = 3;

std::atomic<pid_t> g_child{0};  // for the handler, which gets no argument

// A terminal's own signals reach the child as well, for it is of the same group.
void PassOn(int signal, siginfo_t* info, void*) {
  const int error = errno;
  const pid_t child = g_child;
  if (child > 0 && info->si_code == SI_USER) ::kill(child, signal);
  errno = error;
}

// Hands these signals to the child while it lives.
class PassSignals {
 public:
  PassSignals() {
    struct sigaction action = {};
    action.sa_sigaction = PassOn;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
  }
  ~PassSignals() { Restore(); }
  void Restore() {
    for (size_t i = 0; i < std::size(kSignals); ++i) {
      ::sigaction(kSignals[i], &before_[i], nullptr);
    }
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[std::size(kSignals)];
};

[[noreturn]] void BeChild(pid_t parent, const std::function<int()>& run) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // it died before that took effect
  const int code = run();
  std::fflush(nullptr);
  ::_exit(code);
}

const char* SignalName(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name ? name : "?";
}

}  // namespace

Result<int> Supervise(const SupervisorOptions& options, const std::function<int()>& run) {
  uint32_t orderly = 0;
  for (uint32_t restarts = 0;; ++restarts) {
    PassSignals signals;
    const pid_t parent = ::getpid();
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0)
      return Error(Code::kExhausted, "cannot start a process: {}", std::strerror(errno));
    if (child == 0) {
      signals.Restore();
      BeChild(parent, run);
    }
    g_child = child;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    g_child = 0;
    if (WIFEXITED(status)) {
      const int code = WEXITSTATUS(status);
      const bool again = code == kExitDeviceLost || code == kExitMappingFault;
      if (!again || !options.may_restart || ++orderly > kMaxOrderlyRestarts) return code;
      LogWarning("the batch ended with code {}; it is begun again where it was", code);
      continue;
    }
    const int signal = WTERMSIG(status);
    uint64_t struck = 0;
    if (!options.journal.empty()) {
      MNW_ASSIGN(struck, StrikeUnfinished(options.journal));
    }
    if ((struck == 0 && !options.journal.empty()) || !options.may_restart ||
        restarts >= options.max_restarts) {
      return Error(Code::kInternal,
                   "the batch died of SIG{} with {} documents under way; run it again to go on",
                   SignalName(signal), struck);
    }
    LogWarning("the batch died of SIG{}; its open documents are run again, one at a time",
               SignalName(signal));
  }
}

}  // namespace minnow::batch
