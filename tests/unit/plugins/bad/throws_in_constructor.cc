#include <stdexcept>

#include "parts.h"

namespace {

struct Thrower {
  Thrower() { throw std::runtime_error("no luck"); }
} g_thrower;

}  // namespace

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static mnw_plugin plugin = GOOD_PLUGIN;
  return &plugin;
}
