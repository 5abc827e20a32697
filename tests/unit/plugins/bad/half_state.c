#include "parts.h"

/* Can make a state, cannot free it. */
static int StateCreate(mnw_context* c, const mnw_state_spec* spec, mnw_state** out, mnw_error* e) {
  (void)c, (void)spec, (void)out, (void)e;
  return MNW_UNSUPPORTED;
}
static const mnw_backend* Backend(uint32_t host_minor) {
  static mnw_backend table;
  table = *GoodBackend(host_minor);
  table.state_create = StateCreate;
  return &table;
}

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.backend = Backend;
  return &plugin;
}
