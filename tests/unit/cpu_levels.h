// The levels of the CPU backend on this architecture, as its setting `isa` names them.
#pragma once

namespace minnow::test {

#if defined(__aarch64__)
inline constexpr const char* kCpuLevels[] = {"ref", "neon", "neondot"};
#else
inline constexpr const char* kCpuLevels[] = {"ref", "avx2", "avx512vnni"};
#endif

}  // namespace minnow::test
