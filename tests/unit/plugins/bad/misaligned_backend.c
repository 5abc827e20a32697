#include "parts.h"

static const mnw_backend* Backend(uint32_t host_minor) {
  static char bytes[sizeof(mnw_backend) + 16];
  memcpy(bytes + 1, GoodBackend(host_minor), sizeof(mnw_backend));
  return (const mnw_backend*)(const void*)(bytes + 1);
}

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.backend = Backend;
  return &plugin;
}
