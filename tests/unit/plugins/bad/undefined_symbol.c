#include "parts.h"

int a_function_that_nobody_has(void);

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }

PLUGIN_EXPORT int Use(void) { return a_function_that_nobody_has(); }
