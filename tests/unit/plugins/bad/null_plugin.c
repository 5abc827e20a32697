#include "parts.h"

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return (void)GoodBackend, NULL; }
