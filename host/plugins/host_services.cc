#include "plugins/host_services.h"

#include <spdlog/spdlog.h>

#include "formats/printable.h"
#include "quant/quant.h"

namespace minnow::plugins {
namespace {

// Nothing may throw into a plugin: spdlog reports its own failures, Printable allocates.
void Log(void*, int level, const char* message) noexcept {
  try {
    const std::string text = formats::Printable(message ? message : "", 2000);
    spdlog::log(level <= 0   ? spdlog::level::debug
                : level == 1 ? spdlog::level::info
                             : spdlog::level::warn,
                "plugin: {}", text);
  } catch (...) {
  }
}

int ToF32(void*, int32_t type, const void* src, float* dst, int64_t n) noexcept {
  return quant::DequantizeRow(static_cast<uint32_t>(type), src, dst, n) ? MNW_OK : MNW_INVALID;
}

const void* Extension(void*, const char*) noexcept { return nullptr; }

constexpr mnw_host kHost = {sizeof(mnw_host), nullptr, Log, ToF32, Extension};

}  // namespace

const mnw_host& HostServices() { return kHost; }

}  // namespace minnow::plugins
