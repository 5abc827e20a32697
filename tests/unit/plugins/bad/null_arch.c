#include "parts.h"

static const mnw_arch* const kArchs[] = {NULL};
static const mnw_arch_list kList = {sizeof(mnw_arch_list), 1, kArchs};
static const mnw_arch_list* Archs(uint32_t host_minor) {
  return (void)host_minor, (void)GoodBackend, &kList;
}

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static const mnw_plugin kPlugin = {
      sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test.models", "1", "MIT", NULL, Archs};
  return &kPlugin;
}
