// Files written as a whole or not at all. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace minnow {

// Puts a file there that this user alone may read, in place of one that may have been there.
// Whoever reads it meanwhile has the old one. A failure leaves that, and names the path.
Status WriteWholeFile(const std::string& path, std::string_view bytes);

}  // namespace minnow
