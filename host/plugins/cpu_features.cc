#include "plugins/cpu_features.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <span>

namespace minnow::plugins {
namespace {

struct Feature {
  std::string_view name;
  bool present;
};

}  // namespace

CpuFeature FindCpuFeature(std::string_view name) {
#if defined(__x86_64__)
  // The compiler's run-time library asks CPUID and XGETBV; the builtin takes literals only.
  const Feature features[] = {
      {"ssse3", __builtin_cpu_supports("ssse3") != 0},
      {"sse4_1", __builtin_cpu_supports("sse4.1") != 0},
      {"sse4_2", __builtin_cpu_supports("sse4.2") != 0},
      {"popcnt", __builtin_cpu_supports("popcnt") != 0},
      {"avx", __builtin_cpu_supports("avx") != 0},
      {"f16c", __builtin_cpu_supports("f16c") != 0},
      {"fma", __builtin_cpu_supports("fma") != 0},
      {"bmi2", __builtin_cpu_supports("bmi2") != 0},
      {"avx2", __builtin_cpu_supports("avx2") != 0},
      {"avx_vnni", __builtin_cpu_supports("avxvnni") != 0},
      {"avx512f", __builtin_cpu_supports("avx512f") != 0},
      {"avx512bw", __builtin_cpu_supports("avx512bw") != 0},
      {"avx512dq", __builtin_cpu_supports("avx512dq") != 0},
      {"avx512vl", __builtin_cpu_supports("avx512vl") != 0},
      {"avx512_vnni", __builtin_cpu_supports("avx512vnni") != 0},
      {"avx512_bf16", __builtin_cpu_supports("avx512bf16") != 0},
      {"avx512_fp16", __builtin_cpu_supports("avx512fp16") != 0},
      {"amx_tile", __builtin_cpu_supports("amx-tile") != 0},
      {"amx_int8", __builtin_cpu_supports("amx-int8") != 0},
      {"amx_bf16", __builtin_cpu_supports("amx-bf16") != 0},
  };
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
    if (feature.name == name) return feature.present ? CpuFeature::kPresent : CpuFeature::kAbsent;
  }
  return CpuFeature::kUnknown;
}

}  // namespace minnow::plugins
