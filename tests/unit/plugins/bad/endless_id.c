#include "parts.h"

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  static char id[8192];
  memset(id, 'x', sizeof id); /* and no terminating NUL */
  plugin.id = id;
  return &plugin;
}
