#include <stdexcept>

#include "parts.h"

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { throw std::runtime_error("no luck"); }

/* Keeps the parts in use. */
PLUGIN_EXPORT const void* Unused(void) { return GoodBackend(0); }
