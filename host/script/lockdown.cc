#include "script/lockdown.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <vector>

// Sanitizers reserve terabytes of addresses, and look at their own stacks and files.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MNW_SANITIZED 1
#else
#define MNW_SANITIZED 0
#endif

namespace minnow::script {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of this processor's system calls are to be checked first"
#endif

// Memory, threads that are there, descriptors that are there, the clock, and the end.
constexpr uint32_t kAllowed[] = {
    __NR_read,           __NR_write,        __NR_close,           __NR_brk,
    __NR_munmap,         __NR_mremap,       __NR_madvise,         __NR_futex,
    __NR_epoll_pwait,    __NR_epoll_ctl,    __NR_clock_gettime,   __NR_gettimeofday,
    __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_restart_syscall, __NR_sched_yield,
    __NR_getpid,         __NR_gettid,       __NR_getrandom,       __NR_exit,
    __NR_exit_group,
#ifdef __NR_epoll_wait
    __NR_epoll_wait,
#endif
#ifdef __NR_time
    __NR_time,
#endif
#if MNW_SANITIZED
    __NR_sigaltstack,    __NR_rt_sigaction,
#endif
};

// Allowed with bits of an argument that are not set: memory that holds code would be a way on.
struct WithoutBits {
  uint32_t call, argument, bits;
};
constexpr WithoutBits kWithoutBits[] = {{__NR_mmap, 2, PROT_EXEC}, {__NR_mprotect, 2, PROT_EXEC}};

uint32_t OffsetOfArgument(uint32_t i) {
  return static_cast<uint32_t>(offsetof(struct seccomp_data, args) + 8 * i);  // its lower half
}

std::vector<struct sock_filter> MakeFilter() {
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
  constexpr uint16_t kIfEqual = BPF_JMP | BPF_JEQ | BPF_K, kIfSet = BPF_JMP | BPF_JSET | BPF_K;
  constexpr uint16_t kReturn = BPF_RET | BPF_K;
  std::vector<struct sock_filter> f;
  f.push_back(BPF_STMT(kLoad, offsetof(struct seccomp_data, arch)));
  f.push_back(BPF_JUMP(kIfEqual, kArchitecture, 1, 0));
  f.push_back(BPF_STMT(kReturn, SECCOMP_RET_KILL_PROCESS));
  f.push_back(BPF_STMT(kLoad, offsetof(struct seccomp_data, nr)));
  for (const uint32_t call : kAllowed) {
    f.push_back(BPF_JUMP(kIfEqual, call, 0, 1));
    f.push_back(BPF_STMT(kReturn, SECCOMP_RET_ALLOW));
  }
  for (const WithoutBits& w : kWithoutBits) {
    f.push_back(BPF_JUMP(kIfEqual, w.call, 0, 4));
    f.push_back(BPF_STMT(kLoad, OffsetOfArgument(w.argument)));
    f.push_back(BPF_JUMP(kIfSet, w.bits, 1, 0));
    f.push_back(BPF_STMT(kReturn, SECCOMP_RET_ALLOW));
    f.push_back(BPF_STMT(kReturn, SECCOMP_RET_KILL_PROCESS));
  }
  // abort() sends this process SIGABRT; a failed check should not look like an attack.
  f.push_back(BPF_JUMP(kIfEqual, __NR_tgkill, 0, 5));
  f.push_back(BPF_STMT(kLoad, OffsetOfArgument(0)));
  f.push_back(BPF_JUMP(kIfEqual, static_cast<uint32_t>(::getpid()), 0, 3));
  f.push_back(BPF_STMT(kLoad, OffsetOfArgument(2)));
  f.push_back(BPF_JUMP(kIfEqual, SIGABRT, 0, 1));
  f.push_back(BPF_STMT(kReturn, SECCOMP_RET_ALLOW));
  f.push_back(BPF_STMT(kReturn, SECCOMP_RET_KILL_PROCESS));
  return f;
}

void Limit(__rlimit_resource resource, rlim_t value) {
  const struct rlimit limit = {value, value};
  ::setrlimit(resource, &limit);
}

}  // namespace

void LimitResources(size_t memory_bytes, unsigned long cpu_seconds) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); fd >= 0) {
    static_cast<void>(!::write(fd, "1000", 4));
    ::close(fd);
  }
  ::prctl(PR_SET_DUMPABLE, 0);  // from here on its files in /proc are root's
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_NPROC, 0);
  Limit(RLIMIT_NOFILE, 0);
  Limit(RLIMIT_CPU, cpu_seconds);
  if (!MNW_SANITIZED) Limit(RLIMIT_AS, memory_bytes);
}

Status ForbidSystemCalls() {
  std::vector<struct sock_filter> filter = MakeFilter();
  const struct sock_fprog program = {static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
      ::syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0) {
    return {};
  }
  return Error(Code::kUnsupported, "this system cannot confine a process (seccomp: {})",
               std::strerror(errno));
}

}  // namespace minnow::script
