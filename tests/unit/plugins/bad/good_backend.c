#include "parts.h"

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }
