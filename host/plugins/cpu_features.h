// Names of CPU features as plugin manifests use them: those of /proc/cpuinfo.
// A feature counts only if the operating system saves its registers too. Threads: any.
#pragma once

#include <string_view>

namespace minnow::plugins {

enum class CpuFeature { kUnknown, kAbsent, kPresent };

CpuFeature FindCpuFeature(std::string_view name);

}  // namespace minnow::plugins
