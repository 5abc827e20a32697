#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/log.h"
#include "plugins/device.h"
#include "plugins/loader.h"
#include "plugins/manifest.h"
#include "plugins/probe.h"

namespace minnow::plugins {
namespace {

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n <= 0) ::_exit(EXIT_FAILURE);
    text.remove_prefix(static_cast<size_t>(n));
  }
}

Status Try(const std::string& library_path) {
  MNW_ASSIGN(const Candidate candidate, Unexamined(library_path));
  MNW_ASSIGN(const LoadedPlugin loaded, OpenLibrary(candidate));
  Write("loaded\n");
  if (!loaded.backend) return Status();
  MNW_ASSIGN(const uint32_t n, CountDevices(*loaded.backend));
  for (uint32_t i = 0; i < n; ++i) {
    const auto info = ReadDeviceInfo(*loaded.backend, i);
    if (!info.ok()) return info.status();
  }
  return Status();
}

}  // namespace

void AnswerProbe(const std::string& library_path) {
  // A crash is an answer here, not worth a core file; nobody waits for us once the parent is gone;
  // and a library that takes all memory must not make the system end somebody else.
  const struct rlimit no_core = {0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    static_cast<void>(!::write(fd, "1000", 4));
    ::close(fd);
  }

  InitLog(-1);  // stdout is for the answer
  const Status status = Try(library_path);
  std::fflush(nullptr);  // what the library printed comes first, and spoils the answer
  const nlohmann::json answer = {{"ok", status.ok()}, {"reason", status.message()}};
  Write(answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  ::_exit(EXIT_SUCCESS);  // the library's destructors and atexit handlers are not on trial
}

}  // namespace minnow::plugins
