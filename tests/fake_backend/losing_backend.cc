// As a plugin: the CPU, far away, under the name "losing". Its device is lost at the run that
// MINNOW_TEST_LOSE_AT names (0 or nothing: never), in every process anew.
#include <dlfcn.h>
#include <minnow/abi/plugin.h>

#include <cstdlib>

#include "fake_backend/far_backend.h"

namespace {

const mnw_backend* g_far;

int DeviceInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  const int code = g_far->device_info(device, out, e);
  out->id = "losing";
  return code;
}

const mnw_backend* Backend(uint32_t host_minor) {
  void* library = dlopen(MINNOW_CPU_PLUGIN, RTLD_NOW | RTLD_LOCAL);
  if (!library) return nullptr;
  const auto entry = reinterpret_cast<mnw_plugin_entry_fn>(dlsym(library, "mnw_plugin_entry"));
  const char* lose_at = std::getenv("MINNOW_TEST_LOSE_AT");
  minnow::test::FarOptions options;
  options.lose_at_run = lose_at ? static_cast<uint32_t>(std::atoi(lose_at)) : 0;
  g_far = (new minnow::test::FarBackend(*entry()->backend(host_minor), options))->table();
  static mnw_backend table = *g_far;
  table.device_info = DeviceInfo;
  return &table;
}

constexpr mnw_plugin kPlugin = {
    sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test.losing", "1.0",
    "Apache-2.0",       Backend,       nullptr,
};

}  // namespace

extern "C" MNW_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
