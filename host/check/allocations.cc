// malloc and its family, replaced for the whole process: libraries that are opened later call these
// too, since the dynamic linker finds the program's symbols first. The work is glibc's.
//
// Mappings are counted but munmap by calls, not by bytes: a buffer that is trimmed after it was
// mapped gives back more often than it took, never less.
#include "check/allocations.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)

namespace minnow::check {
const conformance::Allocations* AllocationControls() { return nullptr; }
}  // namespace minnow::check

#else

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

// Constant-initialized: malloc runs before any constructor.
constinit std::atomic<int64_t> g_until_failure{0};  // 0: never
constinit std::atomic<bool> g_sticky{false}, g_enabled{false}, g_failed{false};
constinit std::atomic<int64_t> g_live{0};

bool Fails() {
  if (!g_enabled.load(std::memory_order_relaxed)) return false;
  if (g_failed.load(std::memory_order_relaxed) && g_sticky.load(std::memory_order_relaxed)) {
    return true;
  }
  if (g_until_failure.load(std::memory_order_relaxed) <= 0) return false;
  if (g_until_failure.fetch_sub(1, std::memory_order_relaxed) != 1) return false;
  g_failed.store(true, std::memory_order_relaxed);
  return true;
}

void* Counted(void* p) {
  if (p) g_live.fetch_add(1, std::memory_order_relaxed);
  return p;
}

void* NoMemory() {
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

extern "C" {

void* malloc(size_t n) { return Fails() ? NoMemory() : Counted(__libc_malloc(n)); }

void* calloc(size_t n, size_t size) {
  return Fails() ? NoMemory() : Counted(__libc_calloc(n, size));
}

void* realloc(void* p, size_t n) {
  if (Fails()) return NoMemory();
  void* q = __libc_realloc(p, n);
  return p ? q : Counted(q);
}

void* memalign(size_t align, size_t n) {
  return Fails() ? NoMemory() : Counted(__libc_memalign(align, n));
}

void* aligned_alloc(size_t align, size_t n) { return memalign(align, n); }

int posix_memalign(void** out, size_t align, size_t n) {
  void* p = memalign(align, n);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}

void free(void* p) {
  if (!p) return;
  g_live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(p);
}

void* mmap(void* address, size_t n, int protection, int flags, int fd, off_t offset) {
  if (Fails()) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  const long p = ::syscall(SYS_mmap, address, n, protection, flags, fd, offset);
  return reinterpret_cast<void*>(p);
}

}  // extern "C"

namespace minnow::check {

const conformance::Allocations* AllocationControls() {
  static constexpr conformance::Allocations kControls = {[](int64_t n, bool sticky) {
                                                           g_until_failure = n;
                                                           g_sticky = sticky;
                                                           g_failed = false;
                                                         },
                                                         [](bool on) { g_enabled = on; },
                                                         [] { return g_failed.load(); },
                                                         [] { return g_live.load(); }};
  return &kControls;
}

}  // namespace minnow::check

#endif
