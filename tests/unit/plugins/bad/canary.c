#include <fcntl.h>
#include <unistd.h>

#include "parts.h"

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) { return &kPlugin; }

/* Leaves a file behind when any of its code has run. */
__attribute__((constructor)) static void Sing(void) {
  const char* path = getenv("MINNOW_CANARY");
  if (path) close(open(path, O_WRONLY | O_CREAT, 0600));
}
