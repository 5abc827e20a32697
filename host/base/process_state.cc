#include "base/process_state.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <string_view>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace minnow {
namespace {

#if defined(__x86_64__)
constexpr unsigned kMxcsrFlags = 0x3f;  // what has happened, not how to compute
#endif

// The kernel tells it without changing it for a moment, as umask() would, in every thread.
std::optional<unsigned> ReadUmask() {
  const int fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  char text[512];  // the second line
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  if (n <= 0) return std::nullopt;
  text[n] = '\0';
  const char* line = std::strstr(text, "\nUmask:");
  if (!line) return std::nullopt;
  return static_cast<unsigned>(std::strtoul(line + 7, nullptr, 8));
}

// The C library's sets have room for more signals than there are, and nobody fills it.
bool Same(const sigset_t& a, const sigset_t& b) {
  return std::memcmp(&a, &b, (_NSIG - 1) / 8) == 0;
}

bool Same(const struct sigaction& a, const struct sigaction& b) {
  constexpr int kRestorer = 0x04000000;  // the C library's own business
  return a.sa_sigaction == b.sa_sigaction && ((a.sa_flags ^ b.sa_flags) & ~kRestorer) == 0 &&
         Same(a.sa_mask, b.sa_mask);
}

sigset_t SignalMask() {
  sigset_t mask;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return mask;
}

// Numbers that have no handler (those of the C library, SIGKILL) stay zeros.
std::array<struct sigaction, 65> SignalHandlers() {
  std::array<struct sigaction, 65> handlers = {};
  for (int s = 1; s < static_cast<int>(handlers.size()); ++s) ::sigaction(s, nullptr, &handlers[s]);
  return handlers;
}

}  // namespace

#if defined(__x86_64__)
FloatMode::FloatMode() : vector_(_mm_getcsr() & ~kMxcsrFlags) { asm("fnstcw %0" : "=m"(x87_)); }

void FloatMode::Set() const {
  _mm_setcsr(static_cast<unsigned>(vector_) | (_mm_getcsr() & kMxcsrFlags));
  asm volatile("fldcw %0" : : "m"(x87_));
}
#elif defined(__aarch64__)
FloatMode::FloatMode() { asm volatile("mrs %0, fpcr" : "=r"(vector_)); }

void FloatMode::Set() const { asm volatile("msr fpcr, %0" : : "r"(vector_)); }
#else
FloatMode::FloatMode() : vector_(static_cast<uint64_t>(std::fegetround())) {}

void FloatMode::Set() const { std::fesetround(static_cast<int>(vector_)); }
#endif

ProcessState::ProcessState()
    : c_locale_(std::setlocale(LC_ALL, nullptr)),
      thread_locale_(::uselocale(nullptr)),
      handlers_(SignalHandlers()),
      mask_(SignalMask()),
      umask_(ReadUmask()),
      directory_(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

ProcessState::~ProcessState() {
  if (directory_ >= 0) ::close(directory_);
}

bool ProcessState::RestoreLocale() const {
  bool changed = false;
  if (std::locale() != cpp_locale_) {  // this sets C's too, so it comes first
    std::locale::global(cpp_locale_);
    changed = true;
  }
  if (c_locale_ != std::setlocale(LC_ALL, nullptr)) {
    std::setlocale(LC_ALL, c_locale_.c_str());
    changed = true;
  }
  if (::uselocale(nullptr) != thread_locale_) {
    ::uselocale(thread_locale_);
    changed = true;
  }
  return changed;
}

bool ProcessState::RestoreSignals() const {
  bool changed = false;
  const auto now = SignalHandlers();
  for (int s = 1; s < static_cast<int>(now.size()); ++s) {
    if (Same(now[s], handlers_[s])) continue;
    ::sigaction(s, &handlers_[s], nullptr);
    changed = true;
  }
  if (!Same(SignalMask(), mask_)) {
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    changed = true;
  }
  return changed;
}

bool ProcessState::RestoreDirectory() const {
  struct stat before, now;
  if (directory_ < 0 || ::fstat(directory_, &before) != 0) return false;
  if (::stat(".", &now) == 0 && before.st_dev == now.st_dev && before.st_ino == now.st_ino) {
    return false;
  }
  return ::fchdir(directory_) == 0;
}

std::string ProcessState::Restore() const {
  std::string changed;
  const auto add = [&](bool differs, std::string_view name) {
    if (differs) changed.append(changed.empty() ? "" : ", ").append(name);
  };
  if (const FloatMode now; !(now == float_mode_)) {
    float_mode_.Set();
    add(true, "the floating-point mode");
  }
  add(RestoreLocale(), "the locale");
  add(RestoreSignals(), "signal handling");
  if (umask_ && ReadUmask() != umask_) {
    ::umask(static_cast<mode_t>(*umask_));
    add(true, "the umask");
  }
  add(RestoreDirectory(), "the working directory");
  return changed;
}

}  // namespace minnow
