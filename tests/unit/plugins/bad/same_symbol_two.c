#include "parts.h"

/* Visible in both libraries of this name; each must call its own. */
extern MNW_EXPORT const char* same_symbol_text;
MNW_EXPORT const char* same_symbol_text = "two";
PLUGIN_EXPORT const char* same_symbol(void);
PLUGIN_EXPORT const char* same_symbol(void) { return same_symbol_text; }

static int OwnInfo(uint32_t device, mnw_device_info* out, mnw_error* e) {
  DeviceInfo(device, out, e);
  out->id = out->description = same_symbol();
  return MNW_OK;
}
static const mnw_backend* Backend(uint32_t host_minor) {
  static mnw_backend table;
  table = *GoodBackend(host_minor);
  table.device_info = OwnInfo;
  return &table;
}

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.id = "test.two";
  plugin.backend = Backend;
  return &plugin;
}
