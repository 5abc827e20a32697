#include "parts.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }

/* What -ffast-math links in. */
__attribute__((constructor)) static void Flush(void) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#endif
}
