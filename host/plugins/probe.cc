#include "plugins/probe.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/printable.h"

extern char** environ;

namespace minnow::plugins {
namespace {

using Clock = std::chrono::steady_clock;
using formats::Printable;

constexpr size_t kMaxAnswer = 16 * 1024;
constexpr std::string_view kLoadedLine = "loaded\n";

// The write end in the child is its stdout; this one is closed on every way out.
struct ReadEnd {
  int fd = -1;
  ~ReadEnd() {
    if (fd >= 0) ::close(fd);
  }
};

// posix_spawn's two descriptions of the child, destroyed on every way out.
struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;

  explicit SpawnSettings(int answer_fd) {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, answer_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

struct Outcome {
  int timed_out_ms = 0;  // the limit it overran
  int wait_status = 0;
  std::string output;
};

// Takes what the child has written so far, or part of it from one that never stops. False once it
// can write no more.
bool Drain(int fd, std::string* output) {
  char buffer[4096];
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n > 0) {
      // Beyond the limit bytes are read and dropped, so that the child is not blocked by us.
      output->append(buffer, std::min(static_cast<size_t>(n), kMaxAnswer - output->size()));
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    }
  }
  return true;
}

// Waits for the child's end, not only for the end of its answer: a grandchild may hold the pipe.
Outcome Watch(pid_t child, int fd, const ProbeOptions& options) {
  Outcome outcome;
  const auto begin = Clock::now();
  bool is_open = true;
  siginfo_t ended = {};
  for (;;) {
    if (::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid == child) {
      break;
    }
    const int limit_ms =
        outcome.output.starts_with(kLoadedLine) ? options.devices_limit_ms : options.limit_ms;
    if (Clock::now() - begin >= std::chrono::milliseconds(limit_ms)) {
      outcome.timed_out_ms = limit_ms;
      break;
    }
    struct pollfd wanted = {is_open ? fd : -1, POLLIN, 0};
    ::poll(&wanted, 1, is_open ? 20 : 1);
    if (wanted.revents) is_open = Drain(fd, &outcome.output);
  }
  // Before the child is reaped its number cannot belong to another group. Takes what it started
  // along.
  ::kill(-child, SIGKILL);
  while (::waitpid(child, &outcome.wait_status, 0) < 0 && errno == EINTR) {
  }
  if (is_open) Drain(fd, &outcome.output);
  return outcome;
}

Status Judge(const Outcome& outcome) {
  std::string_view answer = outcome.output;
  const bool loaded = answer.starts_with(kLoadedLine);
  if (loaded) answer.remove_prefix(kLoadedLine.size());
  const char* when = loaded ? "while its devices were asked for" : "while loading";
  if (outcome.timed_out_ms > 0) {
    return Error(Code::kInternal, "did not answer within {:g} s {}", outcome.timed_out_ms / 1000.0,
                 when);
  }
  if (WIFSIGNALED(outcome.wait_status)) {
    const int signal = WTERMSIG(outcome.wait_status);
    const char* name = sigabbrev_np(signal);
    return Error(Code::kInternal, "crashed with signal {}{} {}", name ? "SIG" : "",
                 name ? std::string(name) : std::to_string(signal), when);
  }
  const auto json = nlohmann::json::parse(answer.begin(), answer.end(), nullptr, false);
  const bool valid = json.is_object() && json.contains("ok") && json["ok"].is_boolean() &&
                     json.contains("reason") && json["reason"].is_string();
  if (valid) {
    if (json["ok"].get<bool>()) return Status();
    return Status(Code::kInvalid, Printable(json["reason"].get<std::string>(), 1000));
  }
  if (answer.empty()) {
    return Error(Code::kInternal, "exited with {} {}", WEXITSTATUS(outcome.wait_status), when);
  }
  return Error(Code::kInternal, "wrote to stdout, which plugins must not: '{}'", Printable(answer));
}

}  // namespace

Status Probe(const std::string& library_path, const ProbeOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) {
    return Error(Code::kUnavailable, "cannot make a pipe for the probe: {}", std::strerror(errno));
  }
  const ReadEnd read_end{ends[0]};
  ::fcntl(read_end.fd, F_SETFL, O_NONBLOCK);
  pid_t child = -1;
  int error = 0;
  {
    const SpawnSettings settings(ends[1]);
    const char* argv[] = {options.program.c_str(), library_path.c_str(), nullptr};
    error = ::posix_spawn(&child, options.program.c_str(), &settings.files, &settings.attributes,
                          const_cast<char**>(argv), environ);
  }
  ::close(ends[1]);
  if (error) {
    return Error(Code::kUnavailable, "cannot be tried: the probe program '{}' does not start: {}",
                 options.program, std::strerror(error));
  }
  return Judge(Watch(child, read_end.fd, options));
}

}  // namespace minnow::plugins
