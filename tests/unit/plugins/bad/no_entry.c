#include "parts.h"

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* some_other_entry(void) {
  (void)GoodBackend;
  return &kPlugin;
}
