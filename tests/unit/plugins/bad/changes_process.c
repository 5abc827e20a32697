#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parts.h"

/* What a library with a runtime of its own may do to the whole process. */
static void Change(void) {
  setlocale(LC_ALL, "C.UTF-8");
  umask(0);
  signal(SIGUSR1, SIG_IGN);
  fesetround(FE_UPWARD);
  if (chdir("/") != 0) abort();
}

__attribute__((constructor)) static void Construct(void) { Change(); }

static const mnw_plugin kPlugin = GOOD_PLUGIN;
PLUGIN_EXPORT const mnw_plugin* mnw_plugin_entry(void) {
  Change();
  return &kPlugin;
}
