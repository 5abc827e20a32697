#include "plugins/host_services.h"

#include "base/log.h"
#include "formats/printable.h"
#include "quant/quant.h"

namespace minnow::plugins {
namespace {

// Nothing may throw into a plugin, and making the text allocates.
void LogForPlugin(void*, int level, const char* message) noexcept {
  try {
    Log(level <= 0   ? LogLevel::kDebug
        : level == 1 ? LogLevel::kInfo
                     : LogLevel::kWarning,
        "plugin: " + formats::Printable(message ? message : "", 2000));
  } catch (...) {
  }
}

int ToF32(void*, int32_t type, const void* src, float* dst, int64_t n) noexcept {
  return quant::DequantizeRow(static_cast<uint32_t>(type), src, dst, n) ? MNW_OK : MNW_INVALID;
}

const void* Extension(void*, const char*) noexcept { return nullptr; }

constexpr mnw_host kHost = {sizeof(mnw_host), nullptr, LogForPlugin, ToF32, Extension};

}  // namespace

const mnw_host& HostServices() { return kHost; }

}  // namespace minnow::plugins
