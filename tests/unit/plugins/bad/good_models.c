#include "parts.h"

static int Build(const mnw_metadata* m, const mnw_build_options* o, const mnw_builder* b,
                 mnw_model_info* info, mnw_error* e) {
  (void)m, (void)o, (void)b, (void)info, (void)e, (void)GoodBackend;
  return MNW_UNSUPPORTED;
}
static const mnw_arch kOne = {sizeof(mnw_arch), "one", Build},
                      kTwo = {sizeof(mnw_arch), "two", Build};
static const mnw_arch* const kArchs[] = {&kOne, &kTwo};
static const mnw_arch_list kList = {sizeof(mnw_arch_list), 2, kArchs};
static const mnw_arch_list* Archs(uint32_t host_minor) { return (void)host_minor, &kList; }

PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  static const mnw_plugin kPlugin = {
      sizeof(mnw_plugin), MNW_ABI_MAJOR, MNW_ABI_MINOR, "test.models", "1", "MIT", NULL, Archs};
  return &kPlugin;
}
