// minnow-script after somebody has taken it over: with every restriction on, it does what the
// document's text says, "attack: ACTION [BYTES]", and then goes on as if nothing had been.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "script/child.h"
#include "script/wire.h"

namespace {

void WriteAll(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + at, bytes.size() - at);
    if (n <= 0) return;
    at += static_cast<size_t>(n);
  }
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  }
  return bytes;
}

// Raw calls where the C library would do something else first.
void Act(const std::string& action, const std::string& argument, minnow::script::Watch& watch) {
  void* const page =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const std::map<std::string, std::function<void()>> actions = {
      {"open", [] { ::open("/etc/passwd", O_RDONLY); }},
      {"create", [] { ::open("/tmp/minnow-attack", O_WRONLY | O_CREAT, 0600); }},
      {"socket", [] { ::socket(AF_INET, SOCK_STREAM, 0); }},
      {"connect", [] { ::syscall(__NR_connect, 0, nullptr, 0); }},
      {"sendmsg", [] { ::syscall(__NR_sendmsg, 0, nullptr, 0); }},
      {"fork", [] { static_cast<void>(::fork()); }},
      {"clone", [] { ::syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0); }},
      {"exec", [] { ::execl("/bin/sh", "sh", "-c", "true", nullptr); }},
      {"ptrace", [] { ::ptrace(PTRACE_ATTACH, ::syscall(__NR_getppid), nullptr, nullptr); }},
      {"vm_writev", [] { ::syscall(__NR_process_vm_writev, 1, nullptr, 0, nullptr, 0, 0); }},
      {"kill", [] { ::syscall(__NR_kill, 1, SIGTERM); }},
      {"tgkill", [] { ::syscall(__NR_tgkill, 1, 1, SIGABRT); }},
      {"tgkill_other", [] { ::syscall(__NR_tgkill, ::getpid(), ::getpid(), SIGSTOP); }},
      {"rlimit",
       [] {
         const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
         ::setrlimit(RLIMIT_CPU, &none);
       }},
      {"prctl", [] { ::prctl(PR_SET_DUMPABLE, 1); }},
      {"mmap_code", [] { ::mmap(nullptr, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
      {"mprotect_code", [page] { ::mprotect(page, 4096, PROT_READ | PROT_EXEC); }},
      {"ioctl", [] { ::syscall(__NR_ioctl, 0, 0, 0); }},
      {"io_uring", [] { ::syscall(425, 1, nullptr); }},
      {"no_call", [] { ::syscall(100000); }},
#ifdef __x86_64__
      {"x32", [] { ::syscall(0x40000000 | __NR_getpid); }},
#endif
      {"exit", [] { ::_exit(3); }},
      {"crash",
       [] {
         std::raise(SIGABRT);
         std::abort();
       }},
      {"close",
       [&] {
         watch.running = 0;
         ::close(0);
       }},
      {"spin",
       [] {
         for (std::atomic<int> i = 0;; ++i) {
         }
       }},
      {"hide",
       [&] {
         watch.running = 0;
         for (std::atomic<int> i = 0;; ++i) {
         }
       }},
      {"memory",
       [] {
         static std::vector<std::string> all;
         for (;;) all.emplace_back(1 << 20, 'x');
       }},
      {"descriptors",
       [] {
         for (int fd = 1; fd < 1024; ++fd) WriteAll(fd, "attack\n");
       }},
      {"bytes",
       [&] {
         watch.running = 0;
         WriteAll(0, FromHex(argument));
       }},
      {"bytes_and_noise",
       [&] {
         watch.running = 0;
         WriteAll(0, FromHex(argument) + std::string(minnow::script::kMaxFromChild, '\xff'));
       }},
  };
  const auto found = actions.find(action);
  if (found != actions.end()) found->second();
}

}  // namespace

int main(int argc, char** argv) {
  return minnow::script::ServeHost(
      argc, argv, [](const std::string& text, minnow::script::Watch& watch) {
        const std::string begin = "attack: ";
        if (text.rfind(begin, 0) != 0) return;
        const size_t space = text.find(' ', begin.size());
        Act(text.substr(begin.size(), space - begin.size()),
            space == std::string::npos ? "" : text.substr(space + 1), watch);
      });
}
