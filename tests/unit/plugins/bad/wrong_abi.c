#include "parts.h"

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.abi_major = 0;
  plugin.abi_minor = 99;
  return &plugin;
}
