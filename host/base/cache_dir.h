// Where what can be made again is kept between runs. Threads: any.
#pragma once

#include <string>

namespace minnow {

// XDG_CACHE_HOME/minnow, else ~/.cache/minnow; "" where neither is set, or where this process has
// rights that its user has not.
std::string CacheDirectory();

}  // namespace minnow
