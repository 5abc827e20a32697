#include "conformance/guarded.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

namespace minnow::conformance {

namespace {

// As a float 1.5e16, as an index far away.
constexpr std::byte kPattern{0x5a};
constexpr size_t kAlign = 32;

size_t PageSize() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }
size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

}  // namespace

Guarded::Guarded(size_t n_bytes) : size_(n_bytes) {
  const size_t page = PageSize();
  // At least one aligned unit of pattern before the data.
  mapped_ = RoundUp(RoundUp(n_bytes, kAlign) + kAlign, page);
  void* p =
      ::mmap(nullptr, mapped_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) std::abort();  // the child process ends, and is reported
  base_ = static_cast<std::byte*>(p);
  ::mprotect(base_ + mapped_, page, PROT_NONE);
  data_ = base_ + mapped_ - RoundUp(n_bytes, kAlign);
  std::memset(base_, static_cast<int>(kPattern), mapped_);
}

Guarded::Guarded(std::span<const std::byte> content) : Guarded(content.size()) {
  if (!content.empty()) std::memcpy(data_, content.data(), content.size());
}

Guarded::~Guarded() {
  if (base_) ::munmap(base_, mapped_ + PageSize());
}

Guarded::Guarded(Guarded&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      mapped_(other.mapped_),
      data_(other.data_),
      size_(other.size_) {}

std::string Guarded::Breach() const {
  for (const std::byte* p = data_ - 1; p >= base_; --p) {
    if (*p != kPattern) return fmt::format("byte {} before its start", data_ - p);
  }
  for (const std::byte* p = data_ + size_; p < base_ + mapped_; ++p) {
    if (*p != kPattern) return fmt::format("byte {} past its end", p - (data_ + size_) + 1);
  }
  return "";
}

void Guarded::MakeReadOnly() { ::mprotect(base_, mapped_, PROT_READ); }
void Guarded::TakeAway() { ::mprotect(base_, mapped_, PROT_NONE); }

}  // namespace minnow::conformance
