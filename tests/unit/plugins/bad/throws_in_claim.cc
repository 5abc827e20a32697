#include <stdexcept>

#include "parts.h"

namespace {

int ThrowInClaim(mnw_context*, const mnw_graph*, mnw_claim*, mnw_error*) {
  throw std::runtime_error("no luck");
}

const mnw_backend* Backend(uint32_t host_minor) {
  static mnw_backend table = *GoodBackend(host_minor);
  table.claim = ThrowInClaim;
  return &table;
}

}  // namespace

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  plugin.backend = Backend;
  return &plugin;
}
