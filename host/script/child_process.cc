#include "script/child_process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <new>
#include <vector>

namespace minnow::script {
namespace {

constexpr unsigned long kCpuSeconds = 24 * 3600;  // should nobody be there to end it

struct Fd {
  int fd = -1;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

// Not one of 0 to 2, which a host that was started without them would have free and the new
// process has other uses for.
int AboveStandard(int fd) {
  const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  ::close(fd);
  return moved;
}

struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;

  SpawnSettings(int socket, int page) {
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, socket, kChildSocket);
    posix_spawn_file_actions_adddup2(&files, page, kChildPage);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);  // the terminal's ^C is for the host
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

// What the dynamic linker and the clock need, and none of the host's secrets. A time zone that is
// named once is read once: os.date could not open its file any more.
std::vector<std::string> BareEnvironment() {
  const char* zone = std::getenv("TZ");
  std::vector<std::string> all = {fmt::format("TZ={}", zone && *zone ? zone
                                                       : zone        ? "UTC0"
                                                                     : ":/etc/localtime"),
                                  "UV_THREADPOOL_SIZE=1", "UV_USE_IO_URING=0"};
  if (const char* path = std::getenv("LD_LIBRARY_PATH")) {
    all.push_back(fmt::format("LD_LIBRARY_PATH={}", path));
  }
  return all;
}

Status Unavailable(const char* what) {
  return Error(Code::kUnavailable, "cannot start a process for an untrusted script: {}: {}", what,
               std::strerror(errno));
}

// Sealed: one that could be cut would end the host when it looks there.
Result<int> MakePage() {
  const int fd = AboveStandard(::memfd_create("minnow-script", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd < 0 || ::ftruncate(fd, sizeof(Watch)) != 0 ||
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    Status status = Unavailable("shared memory");
    if (fd >= 0) ::close(fd);
    return status;
  }
  return fd;
}

}  // namespace

std::string ChildLimits::ChildProgram() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path exe = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path beside = exe / "minnow-script";
  const fs::path installed = (exe / MINNOW_SCRIPT_FROM_BIN).lexically_normal();
  return (fs::exists(beside, error) ? beside : installed).native();
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildLimits& limits) {
  std::unique_ptr<ChildProcess> child(new ChildProcess);
  child->memory_bytes_ = limits.memory_bytes;
  MNW_ASSIGN(const int page_fd, MakePage());
  const Fd page{page_fd};
  void* memory = ::mmap(nullptr, sizeof(Watch), PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0);
  if (memory == MAP_FAILED) return Unavailable("shared memory");
  child->watch_ = new (memory) Watch;
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return Unavailable("socket");
  child->socket_ = ends[0];
  const Fd other{AboveStandard(ends[1])};
  ::fcntl(child->socket_, F_SETFL, O_NONBLOCK);

  const std::string memory_bytes = std::to_string(limits.memory_bytes);
  const std::string cpu_seconds = std::to_string(kCpuSeconds);
  const char* argv[] = {"minnow-script", memory_bytes.c_str(), cpu_seconds.c_str(), nullptr};
  const std::vector<std::string> environment = BareEnvironment();
  std::vector<char*> envp;
  for (const std::string& e : environment) envp.push_back(const_cast<char*>(e.c_str()));
  envp.push_back(nullptr);
  const SpawnSettings settings(other.fd, page.fd);
  const int error = ::posix_spawn(&child->pid_, limits.program.c_str(), &settings.files,
                                  &settings.attributes, const_cast<char**>(argv), envp.data());
  if (error == 0) return child;
  child->pid_ = -1;
  errno = error;
  return Unavailable(limits.program.c_str());
}

ChildProcess::~ChildProcess() {
  End();
  if (socket_ >= 0) ::close(socket_);
  if (watch_) ::munmap(watch_, sizeof(Watch));
}

double ChildProcess::cpu_seconds() const {
  clockid_t clock;
  struct timespec time = {};
  if (pid_ < 0 || ::clock_getcpuclockid(pid_, &clock) != 0) return 0;
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::string ChildProcess::End() {
  if (pid_ < 0) return "";
  ::kill(pid_, SIGKILL);
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status)) {
    switch (WEXITSTATUS(status)) {
      case kChildExitMemory:
        return fmt::format("used up the memory of a process, {} MiB", memory_bytes_ >> 20);
      case kChildExitUnconfined:
        return "could not be confined: this system has no seccomp filters";
      default:
        return fmt::format("exited with {}", WEXITSTATUS(status));
    }
  }
  switch (const int signal = WTERMSIG(status)) {
    case SIGSYS:
      return "tried a forbidden system call";
    case SIGKILL:
      return "was killed, or closed its connection";
    case SIGXCPU:
      return "used up the processor time of a process";
    default:
      return fmt::format("crashed with SIG{}", sigabbrev_np(signal) ? sigabbrev_np(signal) : "?");
  }
}

}  // namespace minnow::script
