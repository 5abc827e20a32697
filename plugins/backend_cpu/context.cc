#include "context.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace minnow::cpu {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

bool Always() { return true; }
#if defined(__x86_64__)
// Clang's __builtin_cpu_supports knows no F16C; AVX2's answer covers the state it needs.
bool HasF16c() {
  uint32_t a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C) != 0;
}
bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasF16c();
}
bool HasAvx512Vnni() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#elif defined(__aarch64__)
bool HasDotProduct() { return (::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

constexpr Isa kLevels[] = {
    {"ref", Always, ref::Linear, ref::Vector},
#if defined(__x86_64__)
    {"avx2", HasAvx2, avx2::Linear, avx2::Vector},
    {"avx512vnni", HasAvx512Vnni, avx512vnni::Linear, avx512vnni::Vector},
#elif defined(__aarch64__)
    {"neon", Always, neon::Linear, neon::Vector},
    {"neondot", HasDotProduct, neondot::Linear, neon::Vector},
#endif
};

}  // namespace

const Isa* Levels(size_t* n) {
  *n = std::size(kLevels);
  return kLevels;
}

const Isa& BestLevel() {
  const Isa* best = &kLevels[0];
  for (const Isa& isa : kLevels) {
    if (isa.available()) best = &isa;
  }
  return *best;
}

Buffer::~Buffer() {
  if (data_) ::munmap(data_, size_);
}

Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

bool Buffer::Allocate(size_t n_bytes) {
  if (data_) ::munmap(std::exchange(data_, nullptr), std::exchange(size_, 0));
  if (n_bytes == 0) return true;
  // Large memory begins at a huge page, or its first and last 2 MiB would be small pages: reading
  // packed weights went from 22 to 31 GB/s with huge pages.
  const size_t align = n_bytes >= kHugePage ? kHugePage : 1;
  void* p = ::mmap(nullptr, n_bytes + align - 1, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  std::byte* const mapped = static_cast<std::byte*>(p);
  data_ =
      reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(p) + align - 1) / align * align);
  size_ = n_bytes;
  if (align > 1) {
    if (data_ > mapped) ::munmap(mapped, static_cast<size_t>(data_ - mapped));
    const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
    std::byte* const end = data_ + (n_bytes + page - 1) / page * page;
    std::byte* const mapped_end = mapped + (n_bytes + align - 1 + page - 1) / page * page;
    if (mapped_end > end) ::munmap(end, static_cast<size_t>(mapped_end - end));
    ::madvise(data_, n_bytes, MADV_HUGEPAGE);
  }
  return true;
}

int Fail(mnw_error* e, int code, const std::string& message, int32_t node, uint64_t bytes) {
  if (e) {
    e->node = node;
    e->bytes_needed = bytes;
    const size_t n = std::min(message.size(), sizeof e->message - 1);
    std::memcpy(e->message, message.data(), n);
    e->message[n] = '\0';
  }
  return code;
}

}  // namespace minnow::cpu

bool mnw_context::ReserveDecoded(int64_t k) {
  decoded.resize(static_cast<size_t>(team.size()));
  const size_t bytes = linear.f32.panel_bytes(k);
  for (minnow::cpu::DecodedPanel& d : decoded) {
    if (d.panel.size() >= bytes) continue;
    if (!d.rows.Allocate(bytes) || !d.panel.Allocate(bytes)) return false;
  }
  return true;
}
