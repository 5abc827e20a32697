#include <unistd.h>

#include "parts.h"

static int Hang(uint32_t device, mnw_device_info* out, mnw_error* e) {
  (void)device, (void)out, (void)e;
  while (sleep(1) == 0) {
  }
  return MNW_OK;
}
static const mnw_backend* Backend(uint32_t host_minor) {
  static mnw_backend table;
  table = *GoodBackend(host_minor);
  table.device_info = Hang;
  return &table;
}

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.backend = Backend;
  return &plugin;
}
