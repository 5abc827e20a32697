#include "plugins/cpu_features.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <span>

namespace minnow::plugins {
namespace {

#if defined(__x86_64__)
// Compilers' __builtin_cpu_supports know different lists of names, so this asks the CPU itself.
enum Register { kEax, kEbx, kEcx, kEdx };

// What of the registers the system must save for a feature to be usable: bits of XCR0.
constexpr uint64_t kAvxState = 0x6, kAvx512State = 0xe6, kAmxState = 0x60000;

struct Feature {
  std::string_view name;
  uint32_t leaf, subleaf;
  Register reg;
  uint32_t bit;
  uint64_t state = 0;
};

constexpr Feature kFeatures[] = {
    {"ssse3", 1, 0, kEcx, 9},
    {"sse4_1", 1, 0, kEcx, 19},
    {"sse4_2", 1, 0, kEcx, 20},
    {"popcnt", 1, 0, kEcx, 23},
    {"avx", 1, 0, kEcx, 28, kAvxState},
    {"f16c", 1, 0, kEcx, 29, kAvxState},
    {"fma", 1, 0, kEcx, 12, kAvxState},
    {"bmi2", 7, 0, kEbx, 8},
    {"avx2", 7, 0, kEbx, 5, kAvxState},
    {"avx_vnni", 7, 1, kEax, 4, kAvxState},
    {"avx512f", 7, 0, kEbx, 16, kAvx512State},
    {"avx512bw", 7, 0, kEbx, 30, kAvx512State},
    {"avx512dq", 7, 0, kEbx, 17, kAvx512State},
    {"avx512vl", 7, 0, kEbx, 31, kAvx512State},
    {"avx512_vnni", 7, 0, kEcx, 11, kAvx512State},
    {"avx512_bf16", 7, 1, kEax, 5, kAvx512State},
    {"avx512_fp16", 7, 0, kEdx, 23, kAvx512State},
    {"amx_tile", 7, 0, kEdx, 24, kAmxState},
    {"amx_int8", 7, 0, kEdx, 25, kAmxState},
    {"amx_bf16", 7, 0, kEdx, 22, kAmxState},
};

bool Bit(uint32_t leaf, uint32_t subleaf, Register reg, uint32_t bit) {
  uint32_t value[4];
  return __get_cpuid_count(leaf, subleaf, &value[kEax], &value[kEbx], &value[kEcx], &value[kEdx]) &&
         (value[reg] >> bit & 1) != 0;
}

uint64_t SavedState() {
  constexpr uint32_t kOsxsave = 27;
  if (!Bit(1, 0, kEcx, kOsxsave)) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool Present(const Feature& f) {
  return Bit(f.leaf, f.subleaf, f.reg, f.bit) && (SavedState() & f.state) == f.state;
}
#else
struct Feature {
  std::string_view name;
  bool present;
};

bool Present(const Feature& f) { return f.present; }
#endif

}  // namespace

CpuFeature FindCpuFeature(std::string_view name) {
#if defined(__x86_64__)
  const std::span<const Feature> features = kFeatures;
#elif defined(__aarch64__) && defined(__linux__)
  const unsigned long cap = getauxval(AT_HWCAP), cap2 = getauxval(AT_HWCAP2);
  const Feature features[] = {
      {"asimd", (cap & HWCAP_ASIMD) != 0},     {"asimdhp", (cap & HWCAP_ASIMDHP) != 0},
      {"asimddp", (cap & HWCAP_ASIMDDP) != 0}, {"sve", (cap & HWCAP_SVE) != 0},
      {"i8mm", (cap2 & HWCAP2_I8MM) != 0},     {"bf16", (cap2 & HWCAP2_BF16) != 0},
  };
#else
  const std::span<const Feature> features;
#endif
  for (const Feature& feature : features) {
    if (feature.name == name) return Present(feature) ? CpuFeature::kPresent : CpuFeature::kAbsent;
  }
  return CpuFeature::kUnknown;
}

}  // namespace minnow::plugins
