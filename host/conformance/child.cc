#include "conformance/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace minnow::conformance {

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Be(const std::function<int(std::span<char>, std::string*)>& body, ChildNote* note,
                     int printed) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const struct rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::dup2(printed, STDOUT_FILENO);
  ::dup2(printed, STDERR_FILENO);
  std::string message;
  const int answer = body(note->where, &message);
  std::fflush(nullptr);
  const size_t n = std::min(message.size(), sizeof note->message - 1);
  std::memcpy(note->message, message.data(), n);
  note->message[n] = '\0';
  note->answer = answer;
  ::_exit(0);  // destructors and atexit handlers of the plugin are not on trial
}

std::string HowItEnded(int status, bool timed_out, int limit_ms, const char* where) {
  const std::string at = *where ? fmt::format(" in {}", where) : "";
  if (timed_out) return fmt::format("did not end within {:g} s{}", limit_ms / 1000.0, at);
  if (WIFSIGNALED(status)) {
    const char* name = sigabbrev_np(WTERMSIG(status));
    return fmt::format("crashed with SIG{}{}", name ? name : std::to_string(WTERMSIG(status)), at);
  }
  return fmt::format("ended the process with code {}{}", WEXITSTATUS(status), at);
}

// What was printed, at most its end.
std::string ReadBack(int fd) {
  constexpr off_t kMost = 2000;
  const off_t size = ::lseek(fd, 0, SEEK_END);
  const off_t from = std::max<off_t>(0, size - kMost);
  std::string text(static_cast<size_t>(std::max<off_t>(0, size - from)), '\0');
  const ssize_t n = ::pread(fd, text.data(), text.size(), from);
  text.resize(n > 0 ? static_cast<size_t>(n) : 0);
  return text;
}

// Waits until the child closes its end of the pipe, which it does when it dies. False: too late.
bool WaitForEnd(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    struct pollfd end = {fd, POLLIN, 0};
    if (::poll(&end, 1, static_cast<int>(left)) > 0) return true;
  }
}

}  // namespace

ChildEnd RunInChild(const std::function<int(std::span<char>, std::string*)>& body, int limit_ms) {
  ChildEnd end;
  void* shared =
      ::mmap(nullptr, sizeof(ChildNote), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const int printed = ::memfd_create("printed", MFD_CLOEXEC);
  int life[2] = {-1, -1};
  if (shared == MAP_FAILED || printed < 0 || ::pipe2(life, O_CLOEXEC) != 0) {
    end.message = fmt::format("cannot prepare a child process: {}", std::strerror(errno));
    return end;
  }
  auto* note = static_cast<ChildNote*>(shared);
  note->answer = -1;
  const auto begin = Clock::now();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(life[0]);
    Be(body, note, printed);
  }
  ::close(life[1]);
  if (child < 0) {
    end.message = fmt::format("cannot start a child process: {}", std::strerror(errno));
  } else {
    const bool in_time = WaitForEnd(life[0], begin + std::chrono::milliseconds(limit_ms));
    ::kill(-child, SIGKILL);  // and what it started; it may not have its group yet
    if (!in_time) ::kill(child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    end.answer = note->answer;
    end.message =
        end.answer >= 0 ? note->message : HowItEnded(status, !in_time, limit_ms, note->where);
    end.printed = ReadBack(printed);
  }
  end.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  ::close(life[0]);
  ::close(printed);
  ::munmap(shared, sizeof(ChildNote));
  return end;
}

}  // namespace minnow::conformance
