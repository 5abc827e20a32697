#include "base/mapping_fault.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

// The handler may call nothing that allocates or locks. It keeps no table of mappings: the kernel
// has one, /proc/self/maps, with the path as it is now.
namespace minnow {
namespace {

constexpr size_t kMaxLine = 4096 + 256;  // a path and the fields before it

// Reads lines through a buffer of its own; false at the end. A line too long is cut.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}

  bool Next(char* line) {
    size_t n = 0;
    for (;;) {
      if (at_ == end_) {
        const ssize_t got = ::read(fd_, buffer_, sizeof buffer_);
        if (got <= 0) return false;
        at_ = 0;
        end_ = static_cast<size_t>(got);
      }
      const char c = buffer_[at_++];
      if (c == '\n') break;
      if (n + 1 < kMaxLine) line[n++] = c;
    }
    line[n] = '\0';
    return true;
  }

 private:
  int fd_;
  char buffer_[1024];
  size_t at_ = 0, end_ = 0;
};

// Parses hexadecimal digits and moves past them.
uintptr_t Hex(const char** text) {
  uintptr_t value = 0;
  for (;; ++*text) {
    const char c = **text;
    if (c >= '0' && c <= '9') {
      value = value * 16 + static_cast<uintptr_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      value = value * 16 + static_cast<uintptr_t>(c - 'a' + 10);
    } else {
      return value;
    }
  }
}

// The file mapped at the address, in `line`'s memory; null if there is none.
// A line: "begin-end permissions offset device inode   path".
const char* FileAt(uintptr_t address, char* line) {
  const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  LineReader reader(fd);
  const char* found = nullptr;
  while (!found && reader.Next(line)) {
    const char* text = line;
    const uintptr_t begin = Hex(&text);
    if (*text++ != '-') continue;
    const uintptr_t end = Hex(&text);
    if (address >= begin && address < end) found = std::strchr(line, '/');
    if (address >= begin && address < end && !found) break;
  }
  ::close(fd);
  return found;
}

void Say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // nobody is left to tell
}

void OnBusError(int, siginfo_t* info, void*) {
  char line[kMaxLine];
  const char* file = FileAt(reinterpret_cast<uintptr_t>(info->si_addr), line);
  if (!file) {  // not a mapped file: the same instruction faults again, with the default action
    ::signal(SIGBUS, SIG_DFL);
    return;
  }
  // Several threads may touch the lost pages at once; one of them tells it.
  static std::atomic_flag told = ATOMIC_FLAG_INIT;
  while (told.test_and_set()) ::pause();
  Say("minnow: cannot read '");
  Say(file);
  Say("' any more: the file was cut, or its disk failed, while it was in use\n");
  ::_exit(kExitMappingFault);
}

}  // namespace

void ExitOnMappingFault() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace minnow
