// Where what can be made again is kept between runs. Threads: any.
#pragma once

#include <string>
#include <string_view>

namespace minnow {

// XDG_CACHE_HOME/minnow, else ~/.cache/minnow; "" where neither is set, or where this process has
// rights that its user has not.
std::string CacheDirectory();

// Puts a file there as a whole, readable by this user, or leaves what was there. Nobody is told of
// a failure: it will be made again.
void WriteCacheFile(const std::string& path, std::string_view text);

}  // namespace minnow
