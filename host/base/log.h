// Progress and diagnostics for people, on stderr; data goes to stdout and never through here.
// Threads: any.
#pragma once

#include <spdlog/spdlog.h>

namespace minnow {

// Sends the default logger to stderr in one short form. -1 quiet (errors only), 0 normal, 1 verbose.
void InitLog(int verbosity);

}  // namespace minnow
