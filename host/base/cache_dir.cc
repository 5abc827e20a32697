#include "base/cache_dir.h"

#include <stdlib.h>

namespace minnow {

std::string CacheDirectory() {
  const char* cache = ::secure_getenv("XDG_CACHE_HOME");
  if (cache && *cache == '/') return std::string(cache) + "/minnow";
  const char* home = ::secure_getenv("HOME");
  return home && *home == '/' ? std::string(home) + "/.cache/minnow" : "";
}

}  // namespace minnow
